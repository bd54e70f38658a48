"""What a message says, as OpenAI's API writes it: a string, or a list of parts of text, pictures and clips.

Schema: https://platform.openai.com/docs/api-reference/chat/create. Parts are ``text``, ``image_url`` and
``input_audio``; ``audio_url`` is vLLM's counterpart of ``image_url``. ``image`` and ``audio`` are those of
``transformers`` and TRL: they hold a path, or nothing, and then take the next of the line's ``images`` or
``audios``. Media are files beside the JSONL file, ``file://`` URLs or ``data:`` URLs; nothing is downloaded.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlparse

from omni.datamodules.importers.rows import unicode_text
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.fields import got, short
from omni.datamodules.shards.format import Media
from omni.media import MediaError
from omni.modality import AUDIO, IMAGE, Modality
from omni.sequence import Audio, Image, Role, Segment, Text

OPEN: dict[Modality, Callable[[bytes | Path], Image | Audio]] = {IMAGE: Image.open, AUDIO: Audio.open}


@dataclass
class Shelf:
    """The media of one line: files by name, and lists whose items are taken in turn."""

    media: Media
    """Finds a file by its path."""
    waiting: dict[Modality, list[Any]] = field(default_factory=dict)
    """What parts without a path take, in order."""

    def take(self, modality: Modality, where: str) -> Image | Audio:
        """The next of the line's pictures or clips.

        Raises:
            DocumentError: there is none left.
        """
        left = self.waiting.get(modality, [])
        if not left:
            raise DocumentError(f"{where}: no {modality.name} left in the line's list of {modality.name}s")
        return self.fetch(left.pop(0), modality, where)

    def fetch(self, address: Any, modality: Modality, where: str) -> Image | Audio:
        """The picture or clip at a path or URL.

        Raises:
            DocumentError: it is missing, damaged, or would have to be downloaded; begins with ``where``.
        """
        if not isinstance(address, str) or not address:
            raise DocumentError(f"{where}: expected a path or URL, got {short(address)}")
        try:
            return OPEN[modality](_content(address, self.media))
        except MediaError as error:
            name = address if len(address) <= 60 else f"{address[:57]}..."
            raise DocumentError(f"{where}: {modality.name} {name!r}: {error}") from error

    def check_empty(self) -> None:
        """
        Raises:
            DocumentError: pictures or clips that no part took.
        """
        for modality, left in self.waiting.items():
            if left:
                raise DocumentError(f"{len(left)} {modality.name}s of the line's list are in no message")


def _content(address: str, media: Media) -> bytes | Path:
    scheme = urlparse(address).scheme.lower()
    if scheme == "data":
        head, comma, body = address.partition(",")
        if not comma:
            raise MediaError("a data URL without a comma")
        return _base64(body) if head.endswith(";base64") else unquote_to_bytes(body)
    if scheme == "file":
        return Path(unquote(urlparse(address).path))
    if scheme in ("http", "https"):
        raise MediaError("is only an address; download it and name the file")
    return media(address)


def _base64(body: str) -> bytes:
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise MediaError(f"not base64 ({error})") from error


def content_segments(content: Any, where: str, shelf: Shelf, role: Role, loss: bool) -> list[Segment]:
    """The segments of a message's content, all with this role and loss flag; empty texts are left out.

    Raises:
        DocumentError: no content, or a part that can't be used; begins with ``where``.
    """
    if content is None:
        return []
    if isinstance(content, str):
        parts: list[Segment] = [Text(unicode_text(content, where))]
    elif isinstance(content, list):
        parts = [_part(part, f"{where}[{number}]", shelf) for number, part in enumerate(content)]
    else:
        raise DocumentError(f"{where}: expected a string or a list of parts, got {short(content)}")
    said = [part for part in parts if not isinstance(part, Text) or part.text]
    return [replace(part, role=role, loss=loss) for part in said]


def _part(part: Any, where: str, shelf: Shelf) -> Segment:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind not in PARTS:
        raise DocumentError(f"{where}.type: expected one of {list(PARTS)}, got {short(kind)}")
    return PARTS[kind](part, where, shelf)


def _text(part: dict[str, Any], where: str, shelf: Shelf) -> Segment:
    return Text(unicode_text(part.get("text"), f"{where}.text"))


def _url(name: str, modality: Modality) -> Callable[[dict[str, Any], str, Shelf], Segment]:
    def read(part: dict[str, Any], where: str, shelf: Shelf) -> Segment:
        value = part.get(name)
        address = value.get("url") if isinstance(value, dict) else value
        return shelf.fetch(address, modality, f"{where}.{name}")

    return read


def _input_audio(part: dict[str, Any], where: str, shelf: Shelf) -> Segment:
    value = part.get("input_audio")
    if not isinstance(value, dict):
        raise DocumentError(f"{where}.input_audio: expected an object, got {got(part, 'input_audio')}")
    if "url" in value:
        return shelf.fetch(value["url"], AUDIO, f"{where}.input_audio.url")
    data = value.get("data")
    if not isinstance(data, str):
        raise DocumentError(
            f"{where}.input_audio: expected `data` (base64) or `url`, got the fields {sorted(value)}"
        )
    try:
        return Audio.open(_base64(data))
    except MediaError as error:
        raise DocumentError(f"{where}.input_audio.data: {error}") from error


def _listed(modality: Modality) -> Callable[[dict[str, Any], str, Shelf], Segment]:
    def read(part: dict[str, Any], where: str, shelf: Shelf) -> Segment:
        for name in (modality.name, "path", "url"):
            if part.get(name) is not None:
                return shelf.fetch(part[name], modality, f"{where}.{name}")
        return shelf.take(modality, where)

    return read


PARTS: dict[str, Callable[[dict[str, Any], str, Shelf], Segment]] = {
    "text": _text,
    "image_url": _url("image_url", IMAGE),
    "input_audio": _input_audio,
    "audio_url": _url("audio_url", AUDIO),
    "image": _listed(IMAGE),
    "audio": _listed(AUDIO),
}
"""Kinds of parts, and what reads them."""
