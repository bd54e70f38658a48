"""What stands in a tar: its member headers read one after another, grouped into documents."""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from omni.datamodules.shards.damage import Damage, DocumentError

_NAME = re.compile(r"((?:.*/)?[^./]+)\.([^/]+)", re.DOTALL)
_META = re.compile(r"__[^/]*__($|/)")


class Member(NamedTuple):
    """A regular file in a tar."""

    name: str
    offset: int
    """Byte of the tar where its content begins."""
    size: int


@dataclass(frozen=True)
class Entry:
    """One document of a shard."""

    key: str
    members: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Member suffix to (offset, size) in the tar."""


@dataclass(frozen=True)
class Scan:
    """The documents of one tar, in order."""

    shard: Path
    size: int
    """Bytes of the tar."""
    headers: str
    """Hash of what the member headers say."""
    entries: list[Entry]


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


def scan_shard(shard: Path) -> Scan:
    """Read the headers of a tar.

    Raises:
        DocumentError: the tar is damaged or truncated, or a key's members are not contiguous.
    """
    members, broken = read_members(shard)
    entries, doubled = group_members(shard, members)
    if doubled:
        raise DocumentError(doubled[0].error, part=doubled[0].part, kind="key")
    if broken is not None:
        raise broken
    return Scan(shard, shard.stat().st_size, headers_hash(members), entries)


def read_members(shard: Path) -> tuple[list[Member], DocumentError | None]:
    """The regular files of a tar up to its end, or up to where it can't be read on; then that is said, too."""
    members: list[Member] = []
    size = shard.stat().st_size
    end = 0
    try:
        with tarfile.open(shard, "r:") as tar:
            for member in tar:
                end = member.offset_data + -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
                if member.offset_data + member.size > size:
                    where = f"{member.name} ends at byte {member.offset_data + member.size} of {size}"
                    return members, DocumentError(f"{shard}: truncated tar, {where}", kind="tar")
                if member.isreg():
                    members.append(Member(member.name, member.offset_data, member.size))
    except tarfile.TarError as error:
        message = f"{shard}: damaged or truncated tar {_after(members)} ({error})"
        return members, DocumentError(message, offset=end, kind="tar")
    with shard.open("rb") as file:
        file.seek(end)
        if file.read(tarfile.BLOCKSIZE) == bytes(tarfile.BLOCKSIZE):
            return members, None
    # a tar ends with zeros; at anything else tarfile just stops, as if the rest were not there
    message = f"at byte {end} there is neither a member nor the end of the archive"
    return members, DocumentError(
        f"{shard}: damaged or truncated tar {_after(members)}: {message}", offset=end, kind="tar"
    )


def _after(members: list[Member]) -> str:
    keys = [parts[0] for member in members if (parts := split_name(member.name))]
    return f"after key {keys[-1]!r}" if keys else "before the first key"


def group_members(shard: Path, members: Iterable[Member]) -> tuple[list[Entry], list[Damage]]:
    """Documents of the members, and what breaks the rule that a key's members are contiguous and unique."""
    entries: list[Entry] = []
    doubled: list[Damage] = []
    seen: set[str] = set()
    for member in members:
        parts = split_name(member.name)
        if parts is None:
            continue
        key, suffix = parts
        if not entries or entries[-1].key != key:
            if key in seen:
                message = f"{shard}[{key}]: duplicate key, or its members are not contiguous"
                doubled.append(Damage(str(shard), key, suffix, "key", message))
            seen.add(key)
            entries.append(Entry(key))
        if suffix in entries[-1].members:
            message = f"{shard}[{key}].{suffix}: this member comes twice; duplicate key?"
            doubled.append(Damage(str(shard), key, suffix, "key", message))
        entries[-1].members[suffix] = (member.offset, member.size)
    return entries, doubled


def headers_hash(members: Iterable[Member]) -> str:
    """32 hex digits of the names, places and sizes of all regular files; times and owners don't count."""
    digest = hashlib.blake2b(digest_size=16)
    for member in members:
        name = member.name.encode(errors="surrogateescape")
        digest.update(b"%s\0%d %d\n" % (name, member.offset, member.size))
    return digest.hexdigest()
