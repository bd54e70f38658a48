"""Takes documents that are listed as damaged out of their shards.

Lists are what training leaves (``quarantine.jsonl``) and what ``omni shards check --json`` writes. Shards are
matched by their file names, since the list may come from another machine.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from omni.datamodules.quarantine import QUARANTINE_FILE
from omni.datamodules.shards.copying import refuse_same
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.dataset import SUMMARY_FILE, write_summary
from omni.datamodules.shards.index import write_index
from omni.datamodules.shards.parallel import Written, layout_of_folder, write_shards_parallel
from omni.datamodules.shards.pool import Workers, run_over
from omni.datamodules.shards.reader import read_members
from omni.datamodules.shards.scan import shards_in
from omni.datamodules.shards.shard_index import ShardIndex, index_path, open_index
from omni.datamodules.shards.tar_files import TarFiles
from omni.datamodules.shards.writer import Members, begin_writing, write_tars


@dataclass(frozen=True)
class Removal:
    """What is taken out of a folder."""

    folder: Path
    indexes: list[ShardIndex]
    """All shards of the folder."""
    removed: dict[str, frozenset[str]]
    """Keys by the name of the shard, which has them; shards that are rewritten without a loss have none."""
    absent: list[tuple[str, str]] = field(default_factory=list)
    """Shard and key of listed documents that are not there (any more)."""

    @property
    def documents(self) -> int:
        """Documents that are taken out."""
        return sum(map(len, self.removed.values()))

    @property
    def kept(self) -> int:
        """Documents that stay."""
        return sum(map(len, self.indexes)) - self.documents

    def figures(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return {
            "documents": self.documents + self.kept,
            "kept": self.kept,
            "removed": {name: sorted(keys) for name, keys in self.removed.items()},
            "absent": [list(place) for place in self.absent],
        }


@dataclass(frozen=True)
class _Kept:
    """The documents of a shard that stay."""

    shard: Path
    without: frozenset[str]
    tokenizers: Path | None = None

    def __str__(self) -> str:
        return str(self.shard)

    def __call__(self) -> Iterator[Members]:
        index, files = open_index(self.shard), TarFiles()
        for row in range(len(index)):
            if (key := index.key(row)) not in self.without:
                try:
                    yield Members(key, read_members(files, index, row))
                except DocumentError as error:
                    raise DocumentError(
                        f"{error}; it is damaged, but not listed: `omni shards check {self.shard.parent} --json "
                        f"FILE` lists all that is"
                    ) from error


def lists_of(folder: Path, lists: Seq[Path]) -> list[Path]:
    """The lists to read: those that are named, or the one that training left.

    Raises:
        ValueError: there is none.
    """
    if lists:
        return list(lists)
    if not (folder / QUARANTINE_FILE).is_file():
        raise ValueError(
            f"{folder}: no {QUARANTINE_FILE} here, so nothing was set aside; `omni shards check {folder} --json FILE` "
            f"makes a list, --list FILE takes it"
        )
    return [folder / QUARANTINE_FILE]


def read_list(path: Path) -> list[tuple[str, str | None]]:
    """Name of the shard and key of each entry; no key where the shard as a whole is meant.

    Raises:
        ValueError: no such list.
    """
    try:
        text = path.read_text()
        if path.suffix == ".jsonl":
            entries = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            entries = json.loads(text)["damaged"]
        return [(Path(entry["shard"]).name, entry["key"]) for entry in entries]
    except OSError as error:
        raise ValueError(f"{path}: no such list ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: expected {QUARANTINE_FILE}, or what `omni shards check --json` writes ({error!r})"
        ) from error


def plan_removal(folder: Path, lists: Seq[Path]) -> Removal:
    """What the lists take out of a folder.

    Raises:
        ValueError: no such list, an entry of a shard that isn't there, or nothing would be left.
    """
    shards = {shard.name: shard for shard in shards_in(folder)}
    listed: dict[str, set[str]] = {}
    for path in lists:
        for name, key in read_list(path):
            if name not in shards:
                raise ValueError(f"{path}: lists {name}, which is not in {folder}")
            listed.setdefault(name, set()).update([] if key is None else [key])
    indexes = {name: open_index(shard) for name, shard in shards.items()}
    removed: dict[str, frozenset[str]] = {}
    absent: list[tuple[str, str]] = []
    for name, keys in sorted(listed.items()):
        index = indexes[name]
        there = {index.key(row) for row in range(len(index))}
        absent += [(name, key) for key in sorted(keys - there)]
        if keys & there or index.size != index.shard.stat().st_size:
            removed[name] = frozenset(keys & there)
    removal = Removal(folder, list(indexes.values()), removed, absent)
    if not removal.kept:
        raise ValueError(f"{folder}: all {removal.documents} documents are listed; nothing would be left")
    return removal


def remove_to(
    removal: Removal,
    out: Path,
    workers: Workers = 1,
    tokenizers: Path | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> Written:
    """Write what stays to another folder; the originals are not touched. Arguments as of ``copy_shards``."""
    refuse_same([removal.folder], out)
    parts = [
        _Kept(index.shard.resolve(), removal.removed.get(index.shard.name, frozenset()))
        for index in removal.indexes
    ]
    heads = [f"{index.head.headers} {index.head.content}" for index in removal.indexes]
    identity = f"{heads} without {[sorted(part.without) for part in parts]}"
    return write_shards_parallel(parts, out, identity, workers, report=report, tokenizers=tokenizers)


def remove_in_place(
    removal: Removal,
    workers: Workers = 1,
    tokenizers: Path | None = None,
    report: Callable[[], None] = lambda: None,
) -> None:
    """Rewrite the shards that are concerned, each aside and then in the place of the old one.

    After a crash every shard is the old or the new one; the same call does the rest. ``report`` is called after
    each shard.

    Raises:
        ValueError: a document that stays is damaged, too; its shard is the old one then.
    """
    concerned = [
        _Kept(index.shard, removal.removed[index.shard.name], tokenizers)
        for index in removal.indexes
        if index.shard.name in removal.removed
    ]
    writing = begin_writing(removal.folder, "")
    try:
        (removal.folder / SUMMARY_FILE).unlink(missing_ok=True)
        for _ in run_over(_rewrite, concerned, workers):
            report()
    finally:
        shutil.rmtree(writing)
    write_summary(removal.folder)


def _rewrite(kept: _Kept) -> None:
    shard = kept.shard
    folder = begin_writing(shard.parent, "") / shard.stem
    shutil.rmtree(folder, ignore_errors=True)  # of an earlier try
    folder.mkdir()
    count = write_tars(kept(), folder, None, None)
    tar = folder / f"{0:06d}.tar"
    write_index(tar, layout_of_folder(kept.tokenizers) if kept.tokenizers else None)
    index_path(shard).unlink()  # first: a shard without its index is refused
    if count:
        tar.replace(shard)
        index_path(tar).replace(index_path(shard))
    else:
        shard.unlink()
    _sync(shard.parent)


def _sync(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
