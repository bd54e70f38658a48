"""Writes indexes: reads a tar once, takes checksums, and measures the documents where a layout is given."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt32

from omni.datamodules.shards.crc import crc32
from omni.datamodules.shards.damage import Damage, DocumentError
from omni.datamodules.shards.digest import DigestingFiles
from omni.datamodules.shards.format import head_of, json_of, media_in
from omni.datamodules.shards.index_file import DOCUMENT, PART, Arrays, index_bytes
from omni.datamodules.shards.outline import outline_from
from omni.datamodules.shards.scan import Entry, scan_shard
from omni.datamodules.shards.shard_index import Part, ShardIndex, index_path, read_index
from omni.datamodules.shards.tar_files import read_pieces
from omni.layout import Layout
from omni.modality import MODALITIES
from omni.spans import count_spans, joined

UNKNOWN = "unknown"
"""Source of a document that names none, or can't be read."""


@dataclass(frozen=True)
class Indexed:
    """A shard with its new index."""

    index: ShardIndex
    damaged: list[Damage]
    """Documents that are no good; they stand in the index, with 0 positions."""


@dataclass
class _Rows:
    """What the index will hold, collected document by document."""

    parts: list[tuple[int, int, int, int, int]] = field(default_factory=list)
    documents: list[tuple[int, int, int]] = field(default_factory=list)
    lengths: list[Int[np.ndarray, "2 M"]] = field(default_factory=list)
    """Positions and targets of each document; empty where they are not measured."""
    spans: list[UInt32[np.ndarray, " _"]] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)
    suffixes: dict[str, int] = field(default_factory=dict)
    sources: dict[str, int] = field(default_factory=dict)

    def add(self, entry: Entry, crcs: list[int], source: str) -> None:
        """Add a document."""
        number = len(self.keys)
        self.documents.append((len(self.parts), self.sources.setdefault(source, len(self.sources)), 0))
        for (suffix, (offset, size)), crc in zip(entry.members.items(), crcs, strict=True):
            name = self.suffixes.setdefault(suffix, len(self.suffixes))
            self.parts.append((offset, size, crc, name, number))
        self.keys.append(entry.key.encode(errors="surrogateescape"))

    def arrays(self) -> Arrays:
        """The rows as arrays."""
        documents = np.array([*self.documents, (len(self.parts), 0, 0)], DOCUMENT)
        documents["key"] = [0, *accumulate(map(len, self.keys))]
        lengths = np.array(self.lengths, np.int32).reshape(-1, 2, len(MODALITIES))
        positions, targets = lengths[:, 0], lengths[:, 1]
        spans, starts = joined(self.spans)
        keys = np.frombuffer(b"".join(self.keys), np.uint8)
        return Arrays(
            np.array(self.parts, PART),
            documents,
            positions,
            targets,
            starts.astype(np.uint32),
            spans,
            keys,
            tuple(self.suffixes),
            tuple(self.sources),
        )


def write_index(shard: Path, layout: Layout | None = None) -> Indexed:
    """Read a tar and write its index beside it; with ``layout`` the documents are measured.

    Raises:
        DocumentError: see ``scan_shard``; documents that are no good are listed instead.
    """
    content, damaged = index_of(shard, layout)
    write_whole(index_path(shard), content)
    return Indexed(read_index(shard), damaged)


def index_of(shard: Path, layout: Layout | None = None) -> tuple[bytes, list[Damage]]:
    """Content of a tar's index, and the documents that are no good.

    Raises:
        DocumentError: see ``scan_shard``.
    """
    scan, files, rows = scan_shard(shard), DigestingFiles(shard), _Rows()
    damaged: list[Damage] = []
    codec = layout.tokenizers.audio.fingerprint if layout else None
    for entry in scan.entries:
        parts = [Part(suffix, *place, 0) for suffix, place in entry.members.items()]
        pieces = read_pieces(files, shard, entry.key, parts)
        members = {piece.part.suffix: piece.content for piece in pieces}
        source, spans = UNKNOWN, np.zeros(0, np.uint32)
        try:
            where = f"{shard}[{entry.key}]"
            head = json_of(entry.key, members, where)
            source = head_of(head, f"{where}.").source
            if layout is not None:
                media = media_in(members)
                document = outline_from(
                    head, f"{where}.", media, key=entry.key, shard=str(shard), codec=codec
                )
                spans = layout.spans(document)
        except ValueError as error:
            said = error if isinstance(error, DocumentError) else DocumentError(str(error))
            damaged.append(Damage.of(str(shard), entry.key, said))
        rows.add(entry, [crc32(piece.content) for piece in pieces], source)
        if layout is not None:
            rows.lengths.append(np.stack(count_spans(spans)))
            rows.spans.append(spans)
    fingerprint = layout.fingerprint if layout else ""
    return index_bytes(rows.arrays(), scan.size, files.digest(), scan.headers, fingerprint), damaged


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, even after a crash."""
    aside = path.with_name(f"{path.name}.tmp")
    with aside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
