"""The index of a shard: where every member of every document lies, and how many positions documents have.

An index is written by ``omni shards index`` (or with the shard), and never behind the user's back: one that is
missing or doesn't fit its tar is an error that names the command. Opening compares the tar's size and reads the
header only; ``omni shards check`` compares the hash of the member headers, too, and each read compares the names
of the members it gets. Content that differs from its crc is damage of the tar, whatever the index.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, UInt32

from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.index_file import (
    HEADER,
    Arrays,
    Head,
    IndexFileError,
    map_index,
    parse_head,
    read_lengths,
    verify,
)
from omni.datamodules.shards.scan import Entry

INDEX_SUFFIX = ".idx"


class Part(NamedTuple):
    """One member of a document."""

    suffix: str
    offset: int
    """Byte of the tar where its content begins."""
    size: int
    crc: int
    """zlib.crc32 of the content."""


@dataclass(frozen=True)
class ShardIndex:
    """The documents of one tar, in order. Holds the header; the arrays are mapped when they are asked for."""

    shard: Path
    head: Head

    def __len__(self) -> int:
        return self.head.documents

    @property
    def size(self) -> int:
        """Bytes of the tar when it was indexed."""
        return self.head.tar_size

    @property
    def layout(self) -> str | None:
        """Fingerprint of the layout that measured the documents; ``None`` where none did."""
        return self.head.layout or None

    @property
    def arrays(self) -> Arrays:
        """Everything, as views of the mapped file.

        Raises:
            DocumentError: the index file was replaced or removed since it was opened.
        """
        try:
            return map_index(self._path, self.head)
        except (IndexFileError, OSError) as error:
            raise _damaged(self.shard, error) from error

    @property
    def positions(self) -> Int32[np.ndarray, "documents M"]:
        """Positions by modality; 0 for a document that could not be measured.

        Raises:
            DocumentError: the documents were not measured; the message names the command that does it.
        """
        self._check_measured()
        return self.arrays.positions

    @property
    def targets(self) -> Int32[np.ndarray, "documents M"]:
        """Training targets by modality; errors as of ``positions``."""
        self._check_measured()
        return self.arrays.targets

    def read_lengths(
        self, start: int, stop: int
    ) -> tuple[Int32[np.ndarray, "documents M"], Int32[np.ndarray, "documents M"]]:
        """``positions`` and ``targets`` of documents, read from the file without mapping it; errors as of them."""
        self._check_measured()
        try:
            return read_lengths(self._path, self.head, start, stop)
        except (IndexFileError, OSError) as error:
            raise _damaged(self.shard, error) from error

    def spans(self, number: int) -> UInt32[np.ndarray, " spans"]:
        """Spans of document ``number`` (see ``omni.spans``); errors as of ``positions``."""
        self._check_measured()
        arrays = self.arrays
        start, end = arrays.span_starts[number : number + 2].tolist()
        return arrays.spans[start:end]

    @cached_property
    def _path(self) -> Path:
        return index_path(self.shard)

    def _check_measured(self) -> None:
        if self.layout is None:
            raise DocumentError(
                f"{index_path(self.shard)}: the documents are not measured; "
                f"`omni shards index {self.shard.parent} --tokenizers DIR` does it",
                kind="index",
            )

    def key(self, number: int) -> str:
        """Key of document ``number`` of this shard."""
        arrays = self.arrays
        start, end = arrays.documents["key"][number : number + 2].tolist()
        return arrays.keys[start:end].tobytes().decode(errors="surrogateescape")

    def source(self, number: int) -> str:
        """Source of document ``number``."""
        arrays = self.arrays
        return arrays.sources[arrays.documents["source"][number]]

    def parts(self, number: int) -> list[Part]:
        """Members of document ``number``, in the order of the tar."""
        arrays = self.arrays
        start, end = arrays.documents["first_part"][number : number + 2].tolist()
        return [
            Part(arrays.suffixes[suffix], offset, size, crc)
            for offset, size, crc, suffix, _ in arrays.parts[start:end].tolist()
        ]

    def entry(self, number: int) -> Entry:
        """Document ``number`` as a scan of the tar gives it."""
        return Entry(self.key(number), {part.suffix: (part.offset, part.size) for part in self.parts(number)})

    def verify(self) -> None:
        """Compare the whole index with the hashes in its header.

        Raises:
            DocumentError: they differ.
        """
        try:
            verify(self.arrays, self.head)
        except IndexFileError as error:
            raise _damaged(self.shard, error) from error


def index_path(shard: Path) -> Path:
    """``X.tar`` -> ``X.tar.idx``."""
    return shard.with_name(shard.name + INDEX_SUFFIX)


def how_to_index(shard: Path) -> str:
    """What an error about an index tells the user to do."""
    return f"`omni shards index {shard.parent}` writes it anew"


def _damaged(shard: Path, error: Exception) -> DocumentError:
    return DocumentError(f"{index_path(shard)}: damaged index ({error}); {how_to_index(shard)}", kind="index")


def read_index(shard: Path) -> ShardIndex:
    """The index beside a tar.

    Raises:
        DocumentError: it is missing or damaged, or the tar has another size now; the message names the fix.
    """
    index = open_index(shard)
    size = shard.stat().st_size
    if index.size != size:
        raise DocumentError(
            f"{index_path(shard)}: stale index or truncated tar: {shard.name} had {index.size} bytes, now has "
            f"{size}; if it was rewritten on purpose, {how_to_index(shard)}",
            kind="index",
        )
    return index


def open_index(shard: Path) -> ShardIndex:
    """The index beside a tar, whatever became of the tar.

    Raises:
        DocumentError: it is missing or damaged; the message names the fix.
    """
    path = index_path(shard)
    if not path.is_file():
        raise DocumentError(f"{path}: no index for this shard; {how_to_index(shard)}", kind="index")
    try:
        with path.open("rb") as file:
            head = parse_head(file.read(HEADER.itemsize))
            size = file.seek(0, 2)
        if size != head.file_size:
            raise IndexFileError(f"{size} bytes, expected {head.file_size}")
    except (IndexFileError, UnicodeDecodeError) as error:
        raise _damaged(shard, error) from error
    return ShardIndex(shard, head)
