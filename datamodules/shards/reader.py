"""Reads any document of a folder of shards by its number."""

from __future__ import annotations

import bisect
from itertools import accumulate
from pathlib import Path

import numpy as np
from jaxtyping import Integer

from omni.datamodules.remote.prefetch import Prefetcher
from omni.datamodules.remote.remote_config import RemoteConfig
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.dataset import data_fingerprint
from omni.datamodules.shards.format import from_members
from omni.datamodules.shards.shard_folder import open_folder
from omni.datamodules.shards.shard_index import Part, ShardIndex
from omni.datamodules.shards.tar_files import TarFiles, piece_damage, read_pieces
from omni.media import Canvas
from omni.sequence import Document


class ShardReader:
    """The documents of all ``*.tar`` in a folder, numbered in the order of shard names.

    The folder is on a local disk or at a URL; shards of a URL are fetched when they are read, or ahead of it where
    ``prefetch`` says which are needed. It keeps a few hundred files open at most and nothing per document. Threads
    may share one, and processes that are forked or that it is sent to.
    """

    def __init__(
        self, folder: Path | str, codec: str | None = None, remote: RemoteConfig | None = None
    ) -> None:
        """
        Args:
            folder: a path, or any URL of fsspec such as ``s3://bucket/folder``.
            codec: fingerprint of the codec whose stored codes may be used.
            remote: settings of the cache that keeps the shards of a URL.

        Raises:
            DocumentError: no folder, no shards, or a missing or stale index.
            RemoteError: the URL can't be listed, or an index can't be had.
        """
        remote = remote or RemoteConfig()
        self.source = open_folder(folder, remote)
        self.folder, self.codec = self.source.path, codec
        self.indexes: list[ShardIndex] = self.source.indexes()
        self.starts = [0, *accumulate(map(len, self.indexes))]
        self.files = TarFiles(cache=self.source.cache)
        self._prefetcher = None if self.source.cache is None else Prefetcher(self.source.cache)
        self.ahead = 0 if self.source.cache is None else remote.ahead
        """Steps of the plan whose documents ``prefetch`` wants to know; 0 for a local folder."""

    def __len__(self) -> int:
        return self.starts[-1]

    @property
    def fingerprint(self) -> str:
        """32 hex digits that change with any document, key or shard; measuring doesn't change them."""
        return data_fingerprint(self.indexes)

    def __getitem__(self, number: int) -> Document:
        """Document ``number``.

        Raises:
            DocumentError: it is damaged; the message names shard, key, and part or field. ``part`` and ``offset``
                of the error say where.
            RemoteError: its shard can't be had; the message names the URL.
        """
        return self.read(number)

    def read(self, number: int, canvas: Canvas | None = None) -> Document:
        """Document ``number``, its JPEGs decoded into the memory that ``canvas`` gives; errors as of ``[]``."""
        index, row = self.find(number)
        return _document(self.files, index, row, self.source.name_of(index.shard), self.codec, canvas)

    def members(self, number: int) -> dict[str, bytes]:
        """Member suffix to content of document ``number``; errors as of ``[]``."""
        return read_members(self.files, *self.find(number))

    def place(self, number: int) -> tuple[str, str]:
        """Shard (path or URL) and key of document ``number``."""
        index, row = self.find(number)
        return self.source.name_of(index.shard), index.key(row)

    def prefetch(self, numbers: Integer[np.ndarray, " documents"]) -> None:
        """Fetch the shards of these documents ahead of their use, in this order; returns at once.

        Each call takes the place of the one before. Nothing happens for a local folder, nor in a process that was
        forked from the one that opened the reader.
        """
        if self._prefetcher is None or not len(numbers):
            return
        at = np.searchsorted(self.starts, numbers, "right") - 1
        first = np.sort(np.unique(at, return_index=True)[1])
        self._prefetcher.coming([self.indexes[number].shard.name for number in at[first].tolist()])

    def close(self) -> None:
        """Stop fetching ahead. Documents can be read all the same."""
        if self._prefetcher is not None:
            self._prefetcher.close()

    def find(self, number: int) -> tuple[ShardIndex, int]:
        """Shard of document ``number``, and its number there."""
        if not 0 <= number < len(self):
            raise IndexError(f"{self.source.where}: document {number} of {len(self)}")
        at = bisect.bisect_right(self.starts, number) - 1
        return self.indexes[at], int(number - self.starts[at])


def read_members(files: TarFiles, index: ShardIndex, row: int) -> dict[str, bytes]:
    """Member suffix to content of a shard's document, each compared with its crc.

    Raises:
        DocumentError: a member is damaged or is not the one that was indexed.
    """
    return _read(files, index, index.key(row), index.parts(row))


def _read(files: TarFiles, index: ShardIndex, key: str, parts: list[Part]) -> dict[str, bytes]:
    pieces = read_pieces(files, index.shard, key, parts)
    for piece in pieces:
        damage = piece_damage(index.shard, key, piece)
        if damage is not None:
            raise damage
    return {piece.part.suffix: piece.content for piece in pieces}


def _document(
    files: TarFiles, index: ShardIndex, row: int, shard: str, codec: str | None, canvas: Canvas | None
) -> Document:
    key, parts = index.key(row), index.parts(row)
    members = _read(files, index, key, parts)
    try:
        return from_members(key, members, shard, codec, canvas)
    except DocumentError as error:
        error.offset = next((part.offset for part in parts if part.suffix == error.part), None)
        raise
