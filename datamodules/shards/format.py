"""A document as members of a WebDataset tar: ``KEY.json`` lists the segments, media files stand beside it.

``KEY.json`` of ``[user: picture, "which digit?"] [assistant: "seven"]``::

    {"version": 1, "id": "KEY", "source": "image_to_text", "label": "seven", "segments": [
      {"type": "image", "file": "0.png", "width": 8, "height": 8, "role": "user", "loss": false},
      {"type": "text", "text": "which digit?", "role": "user", "loss": false},
      {"type": "text", "text": "seven", "role": "assistant", "loss": true}]}

``type`` is a name from the table of modalities; ``role`` may be null or left out, ``loss`` defaults to true.
``source`` and ``label`` may be left out. So may a picture's ``width`` and ``height`` and a clip's
``sample_rate`` and ``samples``; where they stand, they must be those of the file. A clip may name codec codes
as ``codes`` (uint16 ``(F, K)`` .npy) with the fingerprint of their ``codec``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from omni.media import MediaError, encode_flac, encode_png, read_audio, read_image
from omni.modality import AUDIO, IMAGE, TEXT, modality_named
from omni.sequence import ROLES, Audio, Document, Image, Role, Segment, Text
from omni.tokenizers.audio.arrays import npy_array

VERSION = 1
JSON_SUFFIX = "json"
TEXT_FIELDS = ("type", "text", "role", "loss")
IMAGE_FIELDS = ("type", "file", "width", "height", "role", "loss")
AUDIO_FIELDS = ("type", "file", "sample_rate", "samples", "role", "loss")
FIELDS = {TEXT.id: TEXT_FIELDS, IMAGE.id: IMAGE_FIELDS, AUDIO.id: AUDIO_FIELDS}
"""Fields of a segment by modality id; ``codes`` and ``codec`` are for programs, not for people."""

Media = Callable[[str], bytes | Path]
"""Finds a media file by the name that a document gives it; a ``MediaError`` where it is missing."""


class DocumentError(ValueError):
    """A document that can't be used; the message names shard, key and field."""


def to_members(document: Document) -> dict[str, bytes]:
    """Member suffix to content: ``json``, ``0.png``, ``1.flac`` ... Codes are not kept.

    Raises:
        DocumentError: a picture or clip can't be stored; names the document and the segment.
    """
    members: dict[str, bytes] = {}
    segments = []
    for number, segment in enumerate(document.segments):
        entry: dict[str, Any] = {"type": segment.modality.name}
        suffix = f"{number}.{segment.modality.media_suffix}"
        try:
            if isinstance(segment, Text):
                entry["text"] = segment.text
            elif isinstance(segment, Image):
                members[suffix] = encode_png(segment.pixels)
                entry |= {"file": suffix, **_image_size(segment)}
            else:
                members[suffix] = encode_flac(segment.waveform, segment.sample_rate)
                entry |= {"file": suffix, **_audio_size(segment)}
        except ValueError as error:
            raise DocumentError(f"{document.where}.segments[{number}]: {error}") from error
        segments.append(entry | {"role": segment.role, "loss": segment.loss})
    head = {"version": VERSION, "id": document.key, "source": document.source}
    if document.label is not None:
        head["label"] = document.label
    return {JSON_SUFFIX: json.dumps(head | {"segments": segments}).encode(), **members}


def from_members(key: str, members: Mapping[str, bytes], shard: str, codec: str | None = None) -> Document:
    """The document ``key`` of ``shard``. Codes are taken where they were made by ``codec`` (a fingerprint).

    Raises:
        DocumentError: no or bad JSON, unknown modality, missing or damaged media; names shard, key and field.
    """
    where = f"{shard}[{key}]"
    if JSON_SUFFIX not in members:
        raise DocumentError(f"{where}: no {key}.{JSON_SUFFIX} among its members {sorted(members)}")

    def media(name: str) -> bytes:
        if name not in members:
            raise MediaError(f"media file {name!r} is missing, the document has {sorted(members)}")
        return members[name]

    head = parse_json(members[JSON_SUFFIX], f"{where}.{JSON_SUFFIX}")
    return document_from(head, f"{where}.", media, key=key, shard=shard, codec=codec)


def parse_json(content: bytes, where: str) -> dict[str, Any]:
    """The JSON object in ``content``.

    Raises:
        DocumentError: it is no JSON, or no object; begins with ``where``.
    """
    try:
        head = json.loads(content)
    except json.JSONDecodeError as error:
        raise DocumentError(f"{where}: not JSON ({error.msg} at character {error.pos + 1})") from error
    except (UnicodeDecodeError, RecursionError) as error:
        raise DocumentError(f"{where}: not JSON ({error})") from error
    if not isinstance(head, dict):
        raise DocumentError(f"{where}: expected a JSON object with segments, got {_short(head)}")
    return head


def document_from(
    head: Mapping[str, Any], where: str, media: Media, *, key: str, shard: str = "", codec: str | None = None
) -> Document:
    """The document that a JSON object describes.

    Args:
        head: the object.
        where: what messages begin with; the field's name follows.
        media: gives the media files.
        key: name of the document.
        shard: path of the shard it was read from.
        codec: fingerprint of the codec whose codes may be used.

    Raises:
        DocumentError: a field is missing or wrong, or a media file is.
    """
    if head.get("version") != VERSION:
        raise DocumentError(f"{where}version: expected {VERSION}, got {_got(head, 'version')}")
    source = _string(head, "source", where) if "source" in head else "unknown"
    label = _string(head, "label", where) if head.get("label") is not None else None
    entries = head.get("segments")
    if not isinstance(entries, list) or not entries:
        raise DocumentError(
            f"{where}segments: expected a list with at least one segment, got {_got(head, 'segments')}"
        )
    segments = [_segment(entry, f"{where}segments[{n}]", media, codec) for n, entry in enumerate(entries)]
    return Document(tuple(segments), key=key, source=source, label=label, shard=shard)


def _segment(entry: Any, where: str, media: Media, codec: str | None) -> Segment:
    if not isinstance(entry, dict):
        raise DocumentError(f"{where}: expected an object, got {_short(entry)}")
    try:
        modality = modality_named(_string(entry, "type", f"{where}."), f"{where}.type")
    except DocumentError:
        raise
    except ValueError as error:
        raise DocumentError(str(error)) from error
    role, loss = _turn(entry, where)
    if modality is TEXT:
        return Text(_string(entry, "text", f"{where}."), role=role, loss=loss)
    name = _string(entry, "file", f"{where}.")
    try:
        if modality is IMAGE:
            image = Image(read_image(media(name)), role=role, loss=loss)
            _check_declared(entry, _image_size(image), where)
            return image
        assert modality is AUDIO, modality
        waveform_W, rate = read_audio(media(name))
    except MediaError as error:
        raise DocumentError(f"{where}.file {name!r}: {error}") from error
    audio = Audio(waveform_W, rate, _codes(entry, where, media, codec), role=role, loss=loss)
    _check_declared(entry, _audio_size(audio), where)
    return audio


def _turn(entry: Mapping[str, Any], where: str) -> tuple[Role | None, bool]:
    role, loss = entry.get("role"), entry.get("loss", True)
    if role is not None and role not in ROLES:
        raise DocumentError(f"{where}.role: expected one of {list(ROLES)} or null, got {_short(role)}")
    if not isinstance(loss, bool):
        raise DocumentError(f"{where}.loss: expected true or false, got {_short(loss)}")
    return role, loss


def _codes(
    entry: Mapping[str, Any], where: str, media: Media, codec: str | None
) -> Int[np.ndarray, "F K"] | None:
    if codec is None or entry.get("codec") != codec:
        return None
    name = _string(entry, "codes", f"{where}.")
    try:
        content = media(name)
        codes_FK = npy_array(content if isinstance(content, bytes) else content.read_bytes())
    except (ValueError, OSError) as error:
        raise DocumentError(f"{where}.codes {name!r}: {error}") from error
    if codes_FK.ndim != 2 or codes_FK.dtype.kind not in "iu":
        raise DocumentError(
            f"{where}.codes {name!r}: expected integers (frames, codebooks), "
            f"got {codes_FK.dtype} {codes_FK.shape}"
        )
    return codes_FK.astype(np.int64)


def _image_size(image: Image) -> dict[str, int]:
    height, width = image.pixels.shape[:2]
    return {"width": width, "height": height}


def _audio_size(audio: Audio) -> dict[str, int]:
    return {"sample_rate": audio.sample_rate, "samples": len(audio.waveform)}


def _check_declared(entry: Mapping[str, Any], found: Mapping[str, int], where: str) -> None:
    for name, value in found.items():
        if name in entry and entry[name] != value:
            raise DocumentError(f"{where}.{name}: the JSON says {_short(entry[name])}, the file has {value}")


def _string(entry: Mapping[str, Any], name: str, where: str) -> str:
    value = entry.get(name)
    if not isinstance(value, str):
        raise DocumentError(f"{where}{name}: expected a string, got {_got(entry, name)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DocumentError(f"{where}{name}: not Unicode text ({error})") from error
    return value


def _got(entry: Mapping[str, Any], name: str) -> str:
    return _short(entry[name]) if name in entry else "nothing"


def _short(value: Any) -> str:
    """The value as JSON shows it, cut to what fits into a message."""
    shown = json.dumps(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."
