"""Merges and shuffles shards: documents are copied member by member, as they are, by their places in the indexes.

What goes where is decided from the indexes before anything is read: shard ``j`` gets the documents at the places
``j * per_shard`` to ``(j + 1) * per_shard`` of the new order, which for a shuffle is a keyed permutation. So the
result depends on no number of processes, and one document at a time is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from pathlib import Path

import numpy as np

from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.keys import key_hashes, keys_in_two_shards
from omni.datamodules.shards.parallel import Written, write_shards_parallel
from omni.datamodules.shards.pool import Workers
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.shard_folder import is_url
from omni.datamodules.shards.writer import PER_SHARD, Members
from omni.datamodules.stream.permutation import key_of, permuted

HOW_TO_CLEAN = (
    "`omni shards check FOLDER --json FILE` lists what is damaged, `omni shards quarantine FOLDER --list FILE "
    "--apply` leaves it out"
)


class Folders:
    """The documents of several folders, numbered one behind another."""

    def __init__(self, folders: Seq[Path | str], number_keys: bool) -> None:
        """``number_keys`` puts the folder's number before each key: ``1/KEY``.

        Raises:
            DocumentError: no shards in one of them, or a missing or stale index.
        """
        self.readers = [ShardReader(folder) for folder in folders]
        self.starts = [0, *accumulate(map(len, self.readers))]
        self.number_keys = number_keys

    def __len__(self) -> int:
        return self.starts[-1]

    @property
    def fingerprint(self) -> str:
        """Changes with any document."""
        return " ".join(reader.fingerprint for reader in self.readers)

    def members(self, number: int) -> Members:
        """Document ``number``, each member compared with its crc.

        Raises:
            DocumentError: it is damaged; the message says how such documents are left out.
        """
        folder = int(np.searchsorted(self.starts, number, side="right")) - 1
        reader, place = self.readers[folder], number - self.starts[folder]
        try:
            members = reader.members(place)
        except DocumentError as error:
            raise DocumentError(f"{error}; {HOW_TO_CLEAN}", part=error.part, kind=error.kind) from error
        key = reader.place(place)[1]
        return Members(f"{folder}/{key}" if self.number_keys else key, members)

    def check_keys(self) -> None:
        """Raise ``DocumentError`` where a key comes twice."""
        if self.number_keys:
            return
        indexes = [index for reader in self.readers for index in reader.indexes]
        doubled = keys_in_two_shards(indexes, [key_hashes(index) for index in indexes])
        if doubled:
            raise DocumentError(
                f"{len(doubled)} documents have a key that another has, too; first: {doubled[0].error}; "
                f"--number-keys tells those of several folders apart"
            )


@dataclass(frozen=True)
class _Part:
    """The documents of one new shard."""

    folders: tuple[Path | str, ...]
    number_keys: bool
    fingerprint: str
    start: int
    stop: int
    key: int | None
    """Of the permutation; ``None`` keeps the order."""

    def __call__(self) -> Iterator[Members]:
        source = _opened(self.folders, self.number_keys, self.fingerprint)
        places = np.arange(self.start, self.stop)
        numbers = places if self.key is None else permuted(places, len(source), self.key)
        return map(source.members, numbers.tolist())


def copy_shards(
    folders: Seq[Path | str],
    out: Path,
    *,
    seed: int | None = None,
    per_shard: int = PER_SHARD,
    number_keys: bool = False,
    workers: Workers = 1,
    tokenizers: Path | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> Written:
    """Write the documents of ``folders`` to ``out``, in their order or shuffled; resumable.

    Args:
        folders: shards with their indexes; paths or URLs.
        out: another folder.
        seed: of the shuffle; the same seed and documents give the same shards. ``None`` keeps the order.
        per_shard: documents of a new shard.
        number_keys: put the number of its folder before each key.
        workers: processes, or a cluster.
        tokenizers: folder of tokenizers that the new shards are measured with.
        report: called with the number of new shards that are done.

    Raises:
        ValueError: a damaged document, a key that comes twice, ``out`` is a source, or see ``write_shards_parallel``.
    """
    if per_shard < 1:
        raise ValueError(f"per_shard must be at least 1 document, got {per_shard}")
    refuse_same(folders, out)
    source = Folders(folders, number_keys)
    source.check_keys()
    parts = [
        _Part(
            tuple(folder if is_url(folder) else Path(folder).resolve() for folder in folders),
            number_keys,
            source.fingerprint,
            start,
            min(start + per_shard, len(source)),
            None if seed is None else key_of(seed, "shuffled shards"),
        )
        for start in range(0, len(source), per_shard)
    ]
    order = "merged" if seed is None else f"shuffled by {seed}"
    identity = (
        f"{source.fingerprint} {order}, {per_shard} a shard, keys {'numbered' if number_keys else 'kept'}"
    )
    return write_shards_parallel(parts, out, identity, workers, report=report, tokenizers=tokenizers)


def shards_of_copy(folders: Seq[Path | str], per_shard: int) -> int:
    """How many shards ``copy_shards`` writes."""
    return -(-sum(len(ShardReader(folder)) for folder in folders) // max(1, per_shard))


def refuse_same(folders: Seq[Path | str], out: Path) -> None:
    """Raise ``ValueError`` where the new shards would replace those that they are made of."""
    for folder in folders:
        if not is_url(folder) and Path(folder).resolve() == out.resolve():
            raise ValueError(f"{out}: SRC and OUT are the same folder; the new shards need another")


@lru_cache(maxsize=1)
def _opened(folders: tuple[Path | str, ...], number_keys: bool, fingerprint: str) -> Folders:
    """Opened once in each process."""
    source = Folders(folders, number_keys)
    if source.fingerprint != fingerprint:
        raise ValueError(f"{', '.join(map(str, folders))}: the shards were changed while they were copied")
    return source
