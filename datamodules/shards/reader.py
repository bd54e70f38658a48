"""Reads any document of a folder of shards by its number."""

from __future__ import annotations

import bisect
import tarfile
from itertools import accumulate
from pathlib import Path
from typing import BinaryIO

from omni.datamodules.shards.format import DocumentError, from_members
from omni.datamodules.shards.index import Entry, ShardIndex, how_to_index, read_index, shards_in
from omni.sequence import Document


class ShardReader:
    """The documents of all ``*.tar`` in a folder, numbered in the order of shard names."""

    def __init__(self, folder: Path | str, codec: str | None = None) -> None:
        """``codec``: fingerprint of the codec whose stored codes may be used.

        Raises:
            DocumentError: no folder, no shards, or a missing or stale index.
        """
        self.folder, self.codec = Path(folder), codec
        self.indexes: list[ShardIndex] = [read_index(shard) for shard in shards_in(self.folder)]
        self.starts = [0, *accumulate(len(index.entries) for index in self.indexes)]

    def __len__(self) -> int:
        return self.starts[-1]

    def __getitem__(self, number: int) -> Document:
        """Document ``number``.

        Raises:
            DocumentError: it is damaged; the message names shard, key and field.
        """
        return read_document(*self._find(number), self.codec)

    def place(self, number: int) -> tuple[str, str]:
        """Shard and key of document ``number``."""
        index, entry = self._find(number)
        return str(index.shard), entry.key

    def _find(self, number: int) -> tuple[ShardIndex, Entry]:
        if not 0 <= number < len(self):
            raise IndexError(f"{self.folder}: document {number} of {len(self)}")
        at = bisect.bisect_right(self.starts, number) - 1
        return self.indexes[at], self.indexes[at].entries[number - self.starts[at]]


def read_document(index: ShardIndex, entry: Entry, codec: str | None = None) -> Document:
    """One document of an indexed shard.

    The file is opened each time: an open one would share its position with forked workers.

    Raises:
        DocumentError: it is damaged; the message names shard, key and field.
    """
    with index.shard.open("rb") as file:
        members = {suffix: _member(file, index, entry, suffix) for suffix in entry.members}
    return from_members(entry.key, members, str(index.shard), codec)


def _member(file: BinaryIO, index: ShardIndex, entry: Entry, suffix: str) -> bytes:
    """A member, if the header before it is its own: tars are padded, so a new one may have the old size."""
    offset, size = entry.members[suffix]
    name = f"{entry.key}.{suffix}"
    file.seek(offset - tarfile.BLOCKSIZE)
    try:
        header = tarfile.TarInfo.frombuf(file.read(tarfile.BLOCKSIZE), "utf-8", "surrogateescape")
        found = f"{header.name} of {header.size} bytes"
        # longer names, and those beyond ASCII, stand in a header of their own
        own = header.size == size and (header.name == name or len(name) > 99 or not name.isascii())
    except tarfile.TarError as error:
        found, own = str(error), False
    if not own:
        raise DocumentError(
            f"{index.shard}[{entry.key}].{suffix}: stale index or damaged tar: expected {name} of {size} "
            f"bytes at byte {offset}, found {found}; if the tar was rewritten on purpose, "
            f"{how_to_index(index.shard)}"
        )
    content = file.read(size)
    if len(content) != size:
        raise DocumentError(f"{index.shard}[{entry.key}].{suffix}: truncated, {len(content)} of {size} bytes")
    return content
