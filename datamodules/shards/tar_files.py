"""Reads pieces of tars: files stay open, each piece is one ``pread``, and what came is compared with the index."""

from __future__ import annotations

import os
import tarfile
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any, NamedTuple

from omni.datamodules.remote.cache import ShardCache
from omni.datamodules.remote.errors import RemoteError
from omni.datamodules.shards.crc import crc32
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.shard_index import Part, how_to_index

FILES_KEPT = 128
_TOUCHED_FOR = 1.0  # seconds until the next use of an open file is noted in the cache
SLACK = 1 << 16
"""Bytes between two members that are read along with them; over more a document is read member by member."""


class _Descriptor:
    """An open file, closed when nobody reads from it any more: a thread may still do when it is dropped."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)
        self.touched = time.monotonic()

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)

    def read(self, offset: int, size: int) -> bytes:
        content = os.pread(self.number, size, offset)
        while len(content) < size and (
            more := os.pread(self.number, size - len(content), offset + len(content))
        ):
            content += more
        return content

    def has_name(self) -> bool:
        """Whether the file still stands in a folder: only then what was read of it before was whole."""
        return os.fstat(self.number).st_nlink > 0


class TarFiles:
    """The most recently used tars, open. Reads share no position, so threads and forked processes may read at once.

    Of shards in a cache none is leased between two reads: a process that waits for work would keep room that others
    need, and a budget of few shards would block them all. A file that was evicted meanwhile has lost its name, which
    is asked behind each read; then it is leased, and fetched, for one read at least.
    """

    def __init__(self, most: int = FILES_KEPT, cache: ShardCache | None = None) -> None:
        """
        Args:
            most: files that are kept open.
            cache: in whose folder the tars are, or come when they are read; ``None`` for tars on a local disk.
        """
        self.most, self.cache = most, cache
        self._open: OrderedDict[Path, _Descriptor] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return TarFiles, (self.most, self.cache)

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on; fewer only at the end of the file.

        Raises:
            RemoteError: it can't be had from its store.
            OSError: the file can't be opened or read.
        """
        file = self._kept(path)
        if file is not None:
            content = file.read(offset, size)
            if self.cache is None:
                return content
            if file.has_name():
                self._note_use(self.cache, path, file)
                return content
        if self.cache is None:
            file = _Descriptor(path)
            content = file.read(offset, size)
        else:
            with self.cache.lease(path.name):
                file = _Descriptor(path)
                content = file.read(offset, size)
        self._keep(path, file)
        return content

    def _kept(self, path: Path) -> _Descriptor | None:
        with self._lock:
            if path in self._open:
                self._open.move_to_end(path)
            return self._open.get(path)

    def _keep(self, path: Path, file: _Descriptor) -> None:
        with self._lock:
            self._open[path] = file
            self._open.move_to_end(path)
            if len(self._open) > self.most:
                self._open.popitem(last=False)

    def _note_use(self, cache: ShardCache, path: Path, file: _Descriptor) -> None:
        now = time.monotonic()
        if now > file.touched + _TOUCHED_FOR:
            file.touched = now
            cache.touch(path.name)


class Piece(NamedTuple):
    """A member as it was read."""

    part: Part
    header: bytes
    """The tar's block before the content."""
    content: bytes


def read_pieces(files: TarFiles, shard: Path, key: str, parts: Seq[Part]) -> list[Piece]:
    """The members of a document: by one read where they stand together.

    Raises:
        DocumentError: the shard can't be read.
        RemoteError: it can't be had from its store; that is no damage of a document.
    """
    start, end = parts[0].offset - tarfile.BLOCKSIZE, parts[-1].offset + parts[-1].size
    try:
        if end - start <= sum(part.size for part in parts) + SLACK * len(parts):
            return _cut(parts, files.read(shard, start, end - start), start)
        pieces = []
        for part in parts:
            start = part.offset - tarfile.BLOCKSIZE
            pieces += _cut([part], files.read(shard, start, tarfile.BLOCKSIZE + part.size), start)
        return pieces
    except RemoteError:
        raise
    except OSError as error:
        raise DocumentError(f"{shard}[{key}]: can't be read ({error})", kind="tar") from error


def _cut(parts: Seq[Part], span: bytes, start: int) -> list[Piece]:
    pieces = []
    for part in parts:
        at = part.offset - start
        pieces.append(Piece(part, span[at - tarfile.BLOCKSIZE : at], span[at : at + part.size]))
    return pieces


def piece_damage(shard: Path, key: str, piece: Piece) -> DocumentError | None:
    """What is wrong with a member: cut off, another one than was indexed, or other content."""
    part = piece.part
    own = _own_header(piece.header, f"{key}.{part.suffix}", part.size)
    crc = crc32(piece.content)
    if own and crc == part.crc and len(piece.content) == part.size:
        return None
    where = f"{shard}[{key}].{part.suffix}"
    if not own:
        return _foreign(piece, shard, key, where)
    if len(piece.content) != part.size:
        message = f"{where}: truncated, {len(piece.content)} of {part.size} bytes at byte {part.offset}"
        return DocumentError(message, part=part.suffix, offset=part.offset, kind="crc")
    message = (
        f"{where}: damaged, the {part.size} bytes at byte {part.offset} have crc32 {crc:08x}, "
        f"not {part.crc:08x} as when they were indexed"
    )
    return DocumentError(message, part=part.suffix, offset=part.offset, kind="crc")


def _own_header(header: bytes, name: str, size: int) -> bool:
    """Whether a header says this name and size, as far as its fixed fields can say it."""
    if len(header) < tarfile.BLOCKSIZE:
        return not header  # cut off: the content is, too
    digits = header[124:135]
    if digits.isdigit() and int(digits, 8) != size:
        return False
    # longer names, and those beyond ASCII, stand in a header of their own
    return len(name) > 99 or not name.isascii() or header[:100].rstrip(b"\0") == name.encode()


def _foreign(piece: Piece, shard: Path, key: str, where: str) -> DocumentError:
    part = piece.part
    try:
        found = tarfile.TarInfo.frombuf(piece.header, "utf-8", "surrogateescape")
        shown = f"{found.name} of {found.size} bytes"
    except tarfile.TarError as error:
        shown = str(error)
    return DocumentError(
        f"{where}: stale index or damaged tar: expected {key}.{part.suffix} of {part.size} bytes at byte "
        f"{part.offset}, found {shown}; if the tar was rewritten on purpose, {how_to_index(shard)}",
        part=part.suffix,
        offset=part.offset,
        kind="header",
    )
