"""Documents for people: as lines of text, and with the files of their pictures and clips."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.format import from_members, head_of, json_of
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.shard_index import ShardIndex
from omni.sequence import Audio, Document, Image, Segment, Text

SHOWN_CHARACTERS = 200
"""Of each text."""


@dataclass(frozen=True)
class Shown:
    """A document with the files that it was read from."""

    document: Document
    files: list[bytes | None]
    """Of each segment; ``None`` for a text."""


def document_lines(document: Document) -> list[str]:
    """Where the document is from, then a line for each segment; ``*`` marks those that the model learns."""
    label = f", label {document.label!r}" if document.label is not None else ""
    lines = [f"{document.where}: source {document.source!r}{label}"]
    for segment in document.segments:
        learned = "*" if segment.loss else " "
        lines.append(f"{learned} {segment.role or '-':9} {segment.modality.name:5} {_content(segment)}")
    return lines


def _content(segment: Segment) -> str:
    if isinstance(segment, Text):
        cut = "..." if len(segment.text) > SHOWN_CHARACTERS else ""
        return f"{segment.text[:SHOWN_CHARACTERS]!r}{cut} ({len(segment.text)} characters)"
    return media_size(segment)


def media_size(segment: Image | Audio) -> str:
    """The size of a picture or clip in words."""
    if isinstance(segment, Image):
        height, width = segment.pixels.shape[:2]
        return f"{width} x {height} pixels"
    return f"{segment.seconds:.2f} s at {segment.sample_rate} Hz"


def document_figures(document: Document) -> dict[str, object]:
    """The document for JSON, with the sizes of its pictures and clips."""
    segments: list[dict[str, object]] = []
    for segment in document.segments:
        entry: dict[str, object] = {"type": segment.modality.name, "role": segment.role, "loss": segment.loss}
        if isinstance(segment, Text):
            entry["text"] = segment.text
        elif isinstance(segment, Image):
            entry["height"], entry["width"] = segment.pixels.shape[:2]
        else:
            entry |= {"samples": len(segment.waveform), "sample_rate": segment.sample_rate}
        segments.append(entry)
    head = {"shard": document.shard, "key": document.key, "source": document.source, "label": document.label}
    return head | {"segments": segments}


def shown(reader: ShardReader, number: int) -> Shown:
    """Document ``number`` with its files.

    Raises:
        DocumentError: it is damaged.
    """
    members = reader.members(number)
    shard, key = reader.place(number)
    document = from_members(key, members, shard, reader.codec)
    where = f"{shard}[{key}]"
    entries = head_of(json_of(key, members, where), f"{where}.").segments
    return Shown(document, [members.get(entry.get("file", "")) for entry in entries])


def chosen(reader: ShardReader, first: int, keys: list[str]) -> list[int]:
    """Numbers of the documents with these keys, or of the first ones where no keys are given.

    Raises:
        DocumentError: no document has such a key.
    """
    if not keys:
        return list(range(min(first, len(reader))))
    numbers = []
    for key in keys:
        found = [
            start + row
            for start, index in zip(reader.starts, reader.indexes, strict=False)
            for row in rows_with_key(index, key)
        ]
        if not found:
            raise DocumentError(f"{reader.folder}: no document has the key {key!r}")
        numbers += found
    return numbers


def rows_with_key(index: ShardIndex, key: str) -> Iterator[int]:
    """Numbers in the shard of the documents with this key: one, or none."""
    begins = index.arrays.documents["key"]
    keys, wanted = index.arrays.keys.tobytes(), key.encode(errors="surrogateescape")
    at = keys.find(wanted)
    while at >= 0:
        row = int(np.searchsorted(begins, at))
        if row < len(index) and int(begins[row]) == at and int(begins[row + 1]) == at + len(wanted):
            yield row
        at = keys.find(wanted, at + 1)
