"""The index of a shard: where every member of every document lies, so that documents are read in any order.

``X.tar.idx`` is JSON: the tar's size, and per document its key and the offset and size of its members.
"""

from __future__ import annotations

import json
import re
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path

from omni.datamodules.shards.format import DocumentError

INDEX_SUFFIX = ".idx"
_NAME = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)", re.DOTALL)
_META = re.compile(r"__[^/]*__($|/)")


@dataclass(frozen=True)
class Entry:
    """One document of a shard."""

    key: str
    members: dict[str, tuple[int, int]]
    """Member suffix to (offset, size) in the tar."""


@dataclass(frozen=True)
class ShardIndex:
    """The documents of one tar, in order."""

    shard: Path
    size: int
    """Bytes of the tar when it was indexed."""
    entries: list[Entry]


def index_path(shard: Path) -> Path:
    """``X.tar`` -> ``X.tar.idx``."""
    return shard.with_name(shard.name + INDEX_SUFFIX)


def how_to_index(shard: Path) -> str:
    """What an error about an index tells the user to do."""
    return f"`omni shards index {shard.parent}` writes it anew"


def split_name(name: str) -> tuple[str, str] | None:
    """Key and suffix of a member, cut at the first dot of its file name; ``None`` for what is no member.

    WebDataset's rule: ``a.b/000001.0.png`` is ``a.b/000001`` and ``0.png``, ``._x.json`` is nothing.
    """
    match = _NAME.fullmatch(name)
    return (match[1], match[2]) if match and not _META.match(name) else None


def shards_in(folder: Path) -> list[Path]:
    """The shards of a folder in order.

    Raises:
        DocumentError: no shards there.
    """
    shards = sorted(folder.glob("*.tar"))
    if not shards:
        raise DocumentError(
            f"{folder}: no shards (*.tar) here; `omni demo --until data` makes the demo's, "
            f"`omni shards import` makes your own"
        )
    return shards


def scan_shard(shard: Path) -> ShardIndex:
    """Read the headers of a tar.

    Raises:
        DocumentError: the tar is damaged or truncated, or a key's members are not contiguous.
    """
    entries: list[Entry] = []
    seen: set[str] = set()
    size = shard.stat().st_size
    end = 0
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                if member.offset_data + member.size > size:
                    raise DocumentError(
                        f"{shard}: truncated tar, {member.name} ends at byte "
                        f"{member.offset_data + member.size} of {size}"
                    )
                parts = split_name(member.name) if member.isreg() else None
                if parts is not None:
                    _add_member(shard, entries, seen, parts, (member.offset_data, member.size))
    except tarfile.TarError as error:
        raise DocumentError(f"{shard}: damaged or truncated tar {_after(entries)} ({error})") from error
    _check_end(shard, entries, end)
    return ShardIndex(shard, size, entries)


def _add_member(
    shard: Path, entries: list[Entry], seen: set[str], parts: tuple[str, str], place: tuple[int, int]
) -> None:
    key, suffix = parts
    if not entries or entries[-1].key != key:
        if key in seen:
            raise DocumentError(f"{shard}[{key}]: duplicate key, or its members are not contiguous")
        seen.add(key)
        entries.append(Entry(key, {}))
    if suffix in entries[-1].members:
        raise DocumentError(f"{shard}[{key}].{suffix}: this member comes twice; duplicate key?")
    entries[-1].members[suffix] = place


def _check_end(shard: Path, entries: list[Entry], end: int) -> None:
    """A tar ends with zeros; at anything else ``tarfile`` just stops, as if the rest were not there."""
    with shard.open("rb") as file:
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise DocumentError(
                f"{shard}: damaged or truncated tar {_after(entries)}: at byte {end} there is neither "
                f"a member nor the end of the archive"
            )


def _after(entries: list[Entry]) -> str:
    return f"after key {entries[-1].key!r}" if entries else "before the first key"


def write_index(shard: Path) -> ShardIndex:
    """Scan a tar and write its index beside it.

    Raises:
        DocumentError: see ``scan_shard``.
    """
    index = scan_shard(shard)
    content = {"size": index.size, "entries": [asdict(entry) for entry in index.entries]}
    aside = index_path(shard).with_suffix(".tmp")
    aside.write_text(json.dumps(content))
    aside.replace(index_path(shard))
    return index


def read_index(shard: Path) -> ShardIndex:
    """The index beside a tar.

    Raises:
        DocumentError: it is missing or damaged, or the tar has changed since; the message names the fix.
    """
    path, fix = index_path(shard), how_to_index(shard)
    if not path.is_file():
        raise DocumentError(f"{path}: no index for this shard; {fix}")
    try:
        content = json.loads(path.read_bytes())
        indexed = int(content["size"])
        entries = [
            Entry(
                entry["key"],
                {suffix: (offset, length) for suffix, (offset, length) in entry["members"].items()},
            )
            for entry in content["entries"]
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DocumentError(f"{path}: damaged index ({type(error).__name__}: {error}); {fix}") from error
    size = shard.stat().st_size
    if indexed != size:
        raise DocumentError(
            f"{path}: stale index or truncated tar: {shard.name} had {indexed} bytes, now has {size}; "
            f"if it was rewritten on purpose, {fix}"
        )
    return ShardIndex(shard, size, entries)
