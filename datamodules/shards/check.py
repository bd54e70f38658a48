"""Compares shards with their indexes and lists every damaged part, and nothing else. Never writes an index."""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt64

from omni.datamodules.shards.check_document import check_document
from omni.datamodules.shards.damage import Damage, DocumentError
from omni.datamodules.shards.keys import key_hashes, keys_in_two_shards
from omni.datamodules.shards.pool import Workers, run_each
from omni.datamodules.shards.scan import Member, group_members, headers_hash, read_members
from omni.datamodules.shards.shard_folder import ShardAt, open_folder
from omni.datamodules.shards.shard_index import ShardIndex, how_to_index, index_path, open_index
from omni.datamodules.shards.tar_files import TarFiles, read_pieces
from omni.datamodules.shards.tasks import Failed


@dataclass
class ShardCheck:
    """What one shard holds."""

    documents: int = 0
    """All that the index lists, the damaged ones too."""
    by_source: Counter[str] = field(default_factory=Counter)
    """Whole documents by source."""
    by_modality: Counter[str] = field(default_factory=Counter)
    """Segments of whole documents by modality."""
    damaged: list[Damage] = field(default_factory=list)
    index: ShardIndex | None = None
    keys: UInt64[np.ndarray, " _"] = field(default_factory=lambda: np.zeros(0, np.uint64))
    """A hash of each key."""


@dataclass
class Check(ShardCheck):
    """What a folder of shards holds."""

    shards: int = 0

    def add(self, found: ShardCheck) -> None:
        """Count a shard."""
        self.shards += 1
        self.documents += found.documents
        self.by_source.update(found.by_source)
        self.by_modality.update(found.by_modality)
        self.damaged += found.damaged

    def figures(self) -> dict[str, Any]:
        """Everything, for JSON."""
        counts = {"by_source": dict(self.by_source), "by_modality": dict(self.by_modality)}
        damaged = [asdict(damage) for damage in self.damaged]
        return {"shards": self.shards, "documents": self.documents, **counts, "damaged": damaged}


def check_shards(
    folder: Path | str, decode: bool = False, workers: Workers = 1, report: Callable[[], None] = lambda: None
) -> Check:
    """Read every document of the folder, a path or URL; ``report`` is called after each shard.

    Compared are: tar and index, member headers, crc of each member, the JSON's fields, the files that it names,
    and keys over all shards; with ``decode`` also what pictures, clips and codes decode to.

    Raises:
        DocumentError: no shards there.
        RemoteError: the URL can't be listed, or an index can't be had.
    """
    check = Check()
    places = open_folder(folder).places(as_stored=True)
    found: list[ShardCheck] = []
    for outcome in run_each(partial(_check_at, decode=decode), places, workers):
        shard = _unchecked(outcome) if isinstance(outcome, Failed) else outcome
        check.add(shard)
        if shard.index is not None:
            found.append(shard)
        report()
    doubled = keys_in_two_shards(
        [shard.index for shard in found if shard.index], [shard.keys for shard in found]
    )
    by_name = {place.path.name: place for place in places}
    check.damaged += [by_name[Path(damage.shard).name].named(damage) for damage in doubled]
    return check


def _check_at(place: ShardAt, decode: bool) -> ShardCheck:
    with place.here() as shard:
        found = check_shard(shard, decode)
    found.damaged = [place.named(damage) for damage in found.damaged]
    return found


def _unchecked(failed: Failed[ShardAt]) -> ShardCheck:
    return ShardCheck(damaged=[Damage(str(failed.item), None, None, "tar", f"{failed}; not checked")])


def check_shard(shard: Path, decode: bool) -> ShardCheck:
    """Read every document of a shard."""
    found = ShardCheck()

    def add(key: str | None, error: DocumentError) -> None:
        found.damaged.append(Damage.of(str(shard), key, error))

    members, broken = read_members(shard)
    found.damaged += group_members(shard, members)[1]
    try:
        index = open_index(shard)
        index.verify()
        _check_fresh(index, members, broken)
    except DocumentError as error:
        add(None, error)
        if broken is not None:
            add(None, broken)
        return found
    found.index, found.keys, found.documents = index, key_hashes(index), len(index)
    before = len(found.damaged)
    files = TarFiles()
    lost = _lost_headers(index, files) if broken is not None else {}
    for row in range(len(index)):
        _check_row(found, index, row, files, decode, lost.get(row, set()))
    if broken is not None and len(found.damaged) == before:
        add(None, broken)  # no member is hurt by it
    elif broken is None and index.size != (size := shard.stat().st_size):
        message = f"{shard}: the zeros at its end are cut or more, {size} bytes instead of {index.size}"
        add(None, DocumentError(message, kind="tar"))
    return found


def _check_fresh(index: ShardIndex, members: list[Member], broken: DocumentError | None) -> None:
    """Raise ``DocumentError`` where the tar was rewritten: its headers are whole, but not those indexed."""
    if broken is None:
        same = headers_hash(members) == index.head.headers
    else:
        entries, _ = group_members(index.shard, members)
        same = all(
            row < len(index)
            and entry.key == index.key(row)
            and _begins(entry.members, index.entry(row).members)
            for row, entry in enumerate(entries)
        )
    if not same:
        raise DocumentError(
            f"{index_path(index.shard)}: stale index: {index.shard.name} has other members than were indexed; if "
            f"it was rewritten on purpose, {how_to_index(index.shard)}",
            kind="index",
        )


def _begins(some: dict[str, tuple[int, int]], whole: dict[str, tuple[int, int]]) -> bool:
    return list(some.items()) == list(whole.items())[: len(some)]


def _check_row(
    found: ShardCheck, index: ShardIndex, row: int, files: TarFiles, decode: bool, lost: set[str]
) -> None:
    key = index.key(row)
    try:
        pieces = read_pieces(files, index.shard, key, index.parts(row))
    except DocumentError as error:
        found.damaged.append(Damage.of(str(index.shard), key, error))
        return
    document = check_document(index.shard, key, pieces, lost, decode)
    found.damaged += document.damaged
    if not document.damaged:
        found.by_source[document.source] += 1
        found.by_modality.update(document.modalities)


def _lost_headers(index: ShardIndex, files: TarFiles) -> dict[int, set[str]]:
    """Suffixes of the members whose header in the tar can't be read, by document number."""
    lost: dict[int, set[str]] = {}
    end = 0
    for row in range(len(index)):
        for part in index.parts(row):
            between = files.read(index.shard, end, part.offset - end)
            if _last_header(between) != (f"{index.key(row)}.{part.suffix}", part.size):
                lost.setdefault(row, set()).add(part.suffix)
            end = part.offset + -(-part.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
    return lost


def _last_header(blocks: bytes) -> tuple[str, int] | None:
    """Name and size in the last header of a piece of a tar that ends where a member's content begins."""
    last = None
    try:
        with tarfile.open(fileobj=io.BytesIO(blocks), mode="r:") as tar:
            while (member := tar.next()) is not None:
                last = (member.name, member.size)
    except tarfile.TarError:  # at the latest where the content should be
        pass
    return last
