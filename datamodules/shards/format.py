"""A document as members of a WebDataset tar: ``KEY.json`` lists the segments, media files stand beside it.

``KEY.json`` of ``[user: picture, "which digit?"] [assistant: "seven"]``::

    {"version": 1, "id": "KEY", "source": "image_to_text", "label": "seven", "segments": [
      {"type": "image", "file": "0.png", "width": 8, "height": 8, "role": "user", "loss": false},
      {"type": "text", "text": "which digit?", "role": "user", "loss": false},
      {"type": "text", "text": "seven", "role": "assistant", "loss": true}]}

``type`` is a name from the table of modalities; ``role`` may be null or left out, ``loss`` defaults to true.
``source`` and ``label`` may be left out. So may a picture's ``width`` and ``height`` and a clip's
``sample_rate`` and ``samples``; where they stand, they must be those of the file. A clip may name codec codes
as ``codes`` (uint16 ``(F, K)`` .npy, with its ``frames`` and ``codebooks``) with the fingerprint of their
``codec``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int

from omni.datamodules.shards.damage import DocumentError, Kind
from omni.datamodules.shards.fields import check_declared, got, parse_json, short, string_field, turn_fields
from omni.datamodules.shards.stored_media import picture_file, sound_file
from omni.media import Canvas, MediaError, content_of, read_audio, read_image
from omni.modality import AUDIO, IMAGE, TEXT, Modality, modality_named
from omni.sequence import Audio, Document, Image, Segment, Text
from omni.tokenizers.audio.arrays import npy_array, npy_bytes

VERSION = 1
JSON_SUFFIX = "json"
CODES_SUFFIX = "npy"
TEXT_FIELDS = ("type", "text", "role", "loss")
IMAGE_FIELDS = ("type", "file", "width", "height", "role", "loss")
AUDIO_FIELDS = ("type", "file", "sample_rate", "samples", "role", "loss")
FIELDS = {TEXT.id: TEXT_FIELDS, IMAGE.id: IMAGE_FIELDS, AUDIO.id: AUDIO_FIELDS}
"""Fields of a segment by modality id; those of codes are for programs, not for people."""
FILE_FIELDS = ("file", "codes")
"""Fields of a segment that name a file."""

Media = Callable[[str], bytes | Path]
"""Finds a media file by the name that a document gives it; a ``MediaError`` where it is missing."""


class MissingMediaError(MediaError):
    """A file that the JSON names is not there."""


@dataclass(frozen=True)
class Head:
    """What a document's JSON says besides its segments, and the segments as they stand there."""

    source: str
    label: str | None
    segments: list[Any]


def to_members(document: Document, codec: str | None = None) -> dict[str, bytes]:
    """Member suffix to content: ``json``, ``0.png``, ``1.flac``, ``1.npy`` ...

    Codes of clips are kept where ``codec``, the fingerprint of the codec that made them, is given.

    Raises:
        DocumentError: a picture or clip can't be stored; names the document and the segment.
    """
    members: dict[str, bytes] = {}
    segments = []
    for number, segment in enumerate(document.segments):
        entry: dict[str, Any] = {"type": segment.modality.name}
        try:
            if isinstance(segment, Text):
                entry["text"] = segment.text
            elif isinstance(segment, Image):
                suffix, content = picture_file(segment)
                members[f"{number}.{suffix}"] = content
                entry |= {"file": f"{number}.{suffix}", **image_size(segment)}
            else:
                suffix, content = sound_file(segment)
                members[f"{number}.{suffix}"] = content
                entry |= {"file": f"{number}.{suffix}", **audio_size(segment)}
                if codec is not None and segment.codes is not None:
                    name = f"{number}.{CODES_SUFFIX}"
                    members[name] = codes_file(segment.codes)
                    entry |= {"codes": name, **codes_size(segment.codes), "codec": codec}
        except ValueError as error:
            raise DocumentError(f"{document.where}.segments[{number}]: {error}") from error
        segments.append(entry | {"role": segment.role, "loss": segment.loss})
    head = {"version": VERSION, "id": document.key, "source": document.source}
    if document.label is not None:
        head["label"] = document.label
    return {JSON_SUFFIX: json.dumps(head | {"segments": segments}).encode(), **members}


def codes_file(codes_FK: Int[np.ndarray, "F K"]) -> bytes:
    """The ``.npy`` file that a shard keeps of a clip's codes.

    Raises:
        ValueError: a code that 16 bits can't hold.
    """
    if codes_FK.size and not 0 <= codes_FK.min() <= codes_FK.max() <= 65_535:
        raise ValueError(f"codes from {codes_FK.min()} to {codes_FK.max()}, a shard keeps 0 to 65535")
    return npy_bytes(codes_FK.astype(np.uint16))


def from_members(
    key: str, members: Mapping[str, bytes], shard: str, codec: str | None = None, canvas: Canvas | None = None
) -> Document:
    """The document ``key`` of ``shard``. Codes are taken where they were made by ``codec`` (a fingerprint).

    ``canvas`` gives memory for pictures, in their order.

    Raises:
        DocumentError: no or bad JSON, unknown modality, missing or damaged media; names shard, key and field.
    """
    where = f"{shard}[{key}]"
    head = json_of(key, members, where)
    media = media_in(members)
    return document_from(head, f"{where}.", media, key=key, shard=shard, codec=codec, canvas=canvas)


def json_of(key: str, members: Mapping[str, bytes], where: str) -> dict[str, Any]:
    """The JSON among the members of a document.

    Raises:
        DocumentError: there is none, or it is damaged; begins with ``where``.
    """
    if JSON_SUFFIX not in members:
        message = f"{where}: no {key}.{JSON_SUFFIX} among its members {sorted(members)}"
        raise DocumentError(message, part=JSON_SUFFIX, kind="missing")
    try:
        return parse_json(members[JSON_SUFFIX], f"{where}.{JSON_SUFFIX}")
    except DocumentError as error:
        raise DocumentError(str(error), part=JSON_SUFFIX) from error


def media_in(members: Mapping[str, bytes]) -> Media:
    """Finds media files among the members of a document."""

    def media(name: str) -> bytes:
        if name not in members:
            raise MissingMediaError(f"media file {name!r} is missing, the document has {sorted(members)}")
        return members[name]

    return media


def document_from(
    head: Mapping[str, Any],
    where: str,
    media: Media,
    *,
    key: str,
    shard: str = "",
    codec: str | None = None,
    canvas: Canvas | None = None,
) -> Document:
    """The document that a JSON object describes.

    Args:
        head: the object.
        where: what messages begin with; the field's name follows.
        media: gives the media files.
        key: name of the document.
        shard: path of the shard it was read from.
        codec: fingerprint of the codec whose codes may be used.
        canvas: memory for pictures, in their order.

    Raises:
        DocumentError: a field is missing or wrong, or a media file is.
    """
    found = head_of(head, where)
    segments = [
        segment_from(entry, f"{where}segments[{n}]", media, codec, canvas)
        for n, entry in enumerate(found.segments)
    ]
    return Document(tuple(segments), key=key, source=found.source, label=found.label, shard=shard)


def head_of(head: Mapping[str, Any], where: str) -> Head:
    """The fields of a document that don't belong to a segment.

    Raises:
        DocumentError: one of them is missing or wrong.
    """
    try:
        if head.get("version") != VERSION:
            raise DocumentError(f"{where}version: expected {VERSION}, got {got(head, 'version')}")
        source = string_field(head, "source", where) if "source" in head else "unknown"
        label = string_field(head, "label", where) if head.get("label") is not None else None
        entries = head.get("segments")
        if not isinstance(entries, list) or not entries:
            raise DocumentError(
                f"{where}segments: expected a list with at least one segment, got {got(head, 'segments')}"
            )
    except DocumentError as error:
        error.part = JSON_SUFFIX
        raise
    return Head(source, label, entries)


def segment_from(
    entry: Any, where: str, media: Media, codec: str | None, canvas: Canvas | None = None
) -> Segment:
    """The segment that an object in ``segments`` describes.

    Raises:
        DocumentError: a field is missing or wrong, or the media file is; its ``part`` says which file.
    """
    modality = modality_of(entry, where)
    role, loss = turn_fields(entry, where)
    if modality is TEXT:
        return Text(string_field(entry, "text", f"{where}."), role=role, loss=loss)
    name = string_field(entry, "file", f"{where}.")
    try:
        file = media(name)
        if modality is IMAGE:
            image = Image(read_image(file, canvas), file=content_of(file), role=role, loss=loss)
            check_declared(entry, image_size(image), where, name)
            return image
        assert modality is AUDIO, modality
        waveform_W, rate = read_audio(file)
        content = content_of(file)
    except MediaError as error:
        raise media_error(f"{where}.file", name, error) from error
    codes_FK = stored_codes(entry, where, media, codec)
    audio = Audio(waveform_W, rate, codes_FK, file=content, role=role, loss=loss)
    check_declared(entry, audio_size(audio), where, name)
    return audio


def modality_of(entry: Any, where: str) -> Modality:
    """The modality of a segment's object.

    Raises:
        DocumentError: it is no object, or of an unknown type.
    """
    if not isinstance(entry, dict):
        raise DocumentError(f"{where}: expected an object, got {short(entry)}")
    try:
        return modality_named(string_field(entry, "type", f"{where}."), f"{where}.type")
    except DocumentError:
        raise
    except ValueError as error:
        raise DocumentError(str(error)) from error


def media_error(field: str, name: str, error: Exception) -> DocumentError:
    """What is wrong with the media file ``name`` of a field."""
    kind: Kind = "missing" if isinstance(error, MissingMediaError) else "decode"
    return DocumentError(f"{field} {name!r}: {error}", part=name, kind=kind)


def stored_codes(
    entry: Mapping[str, Any], where: str, media: Media, codec: str | None
) -> Int[np.ndarray, "F K"] | None:
    """The codes that a clip carries, where they were made by ``codec``.

    Raises:
        DocumentError: the file is missing, damaged, or of another size than the JSON says.
    """
    if codec is None or entry.get("codec") != codec:
        return None
    name = string_field(entry, "codes", f"{where}.")
    try:
        content = media(name)
        codes_FK = npy_array(content if isinstance(content, bytes) else content.read_bytes())
    except (ValueError, OSError) as error:
        raise media_error(f"{where}.codes", name, error) from error
    if codes_FK.ndim != 2 or codes_FK.dtype.kind not in "iu":
        expected = f"expected integers (frames, codebooks), got {codes_FK.dtype} {codes_FK.shape}"
        raise DocumentError(f"{where}.codes {name!r}: {expected}", part=name, kind="decode")
    codes_FK = codes_FK.astype(np.int64)
    check_declared(entry, codes_size(codes_FK), where, name)
    return codes_FK


def image_size(image: Image) -> dict[str, int]:
    """The fields that give a picture's size."""
    height, width = image.pixels.shape[:2]
    return {"width": width, "height": height}


def audio_size(audio: Audio) -> dict[str, int]:
    """The fields that give a clip's size."""
    return {"sample_rate": audio.sample_rate, "samples": len(audio.waveform)}


def codes_size(codes_FK: Int[np.ndarray, "F K"]) -> dict[str, int]:
    """The fields that give the size of a clip's codes."""
    return {"frames": codes_FK.shape[0], "codebooks": codes_FK.shape[1]}
