"""Reads pieces of tars: open files are kept, each piece is one ``pread``, and what came is compared with the index."""

from __future__ import annotations

import os
import tarfile
import threading
import zlib
from collections import OrderedDict
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any, NamedTuple

from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.shard_index import Part, how_to_index

FILES_KEPT = 128
SLACK = 1 << 16
"""Bytes between two members that are read along with them; over more a document is read member by member."""


class _Descriptor:
    """An open file, closed when nobody reads from it any more: a thread may still do when it is dropped."""

    def __init__(self, path: Path) -> None:
        self.number = os.open(path, os.O_RDONLY)

    def __del__(self) -> None:
        if hasattr(self, "number"):
            os.close(self.number)


class TarFiles:
    """The most recently used tars, open. Reads share no position, so threads and forked processes may read at once."""

    def __init__(self, most: int = FILES_KEPT) -> None:
        self.most = most
        self._open: OrderedDict[Path, _Descriptor] = OrderedDict()
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return TarFiles, (self.most,)

    def read(self, path: Path, offset: int, size: int) -> bytes:
        """``size`` bytes from ``offset`` on; fewer only at the end of the file.

        Raises:
            OSError: the file can't be opened or read.
        """
        file = self._file(path)
        content = os.pread(file.number, size, offset)
        while len(content) < size and (
            more := os.pread(file.number, size - len(content), offset + len(content))
        ):
            content += more
        return content

    def _file(self, path: Path) -> _Descriptor:
        with self._lock:
            file = self._open.get(path)
            if file is None:
                file = self._open[path] = _Descriptor(path)
                if len(self._open) > self.most:
                    self._open.popitem(last=False)
            else:
                self._open.move_to_end(path)
            return file


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
    part, where = piece.part, f"{shard}[{key}].{piece.part.suffix}"
    if not _own_header(piece.header, f"{key}.{part.suffix}", part.size):
        return _foreign(piece, shard, key, where)
    if len(piece.content) != part.size:
        message = f"{where}: truncated, {len(piece.content)} of {part.size} bytes at byte {part.offset}"
        return DocumentError(message, part=part.suffix, offset=part.offset, kind="crc")
    crc = zlib.crc32(piece.content)
    if crc == part.crc:
        return None
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
