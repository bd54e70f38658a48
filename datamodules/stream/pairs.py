"""Preferences from shards: the documents ``KEY-chosen`` and ``KEY-rejected`` joined to one unit of the plan.

So a pair is shuffled, packed and counted as a document is, and is never torn apart. Its length is that of both
documents; its "target" is one, of the modality of its answers: a step's targets are its pairs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Integer

from omni.datamodules.collate import collate
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.stream.batches import Share
from omni.datamodules.stream.lengths import Lengths
from omni.datamodules.stream.opened import OpenFolder
from omni.datamodules.stream.store import SequenceStore
from omni.datamodules.stream.table import Table
from omni.preference import CHOSEN, REJECTED, PairBatch, answer_modality
from omni.sequence import Sequence


@dataclass(frozen=True, eq=False)
class PairSequence(Sequence):
    """Both documents of a pair, the chosen one first."""

    halves: tuple[Sequence, ...] = ()
    answer: int = 0
    """Modality id of the answers."""

    @classmethod
    def join(cls, chosen: Sequence, rejected: Sequence) -> PairSequence:
        """
        Raises:
            DocumentError: both are the same to the model, so that there is nothing to prefer.
        """
        names = ("modality", "text_ids", "coords", "loss", "patches", "codes")
        parts = [(getattr(chosen, name), getattr(rejected, name)) for name in names]
        if all(np.array_equal(first, second) for first, second in parts):
            raise DocumentError(f"{chosen.key} and {rejected.key} are the same once they are encoded")
        joined = {name: np.concatenate(both) for name, both in zip(names, parts, strict=True)}
        answer = int(answer_modality(chosen.target_counts()))
        return cls(**joined, key=chosen.key, halves=(chosen, rejected), answer=answer)


def pairs_in(reader: ShardReader) -> Int[np.ndarray, "pairs 2"]:
    """Numbers of the chosen and the rejected document of each pair of a folder, in the order of the chosen ones.

    Raises:
        ValueError: a document that is no half of a pair, or has lost the other; names it.
    """
    keys = [index.key(row) for index in reader.indexes for row in range(len(index))]
    numbers = {key: number for number, key in enumerate(keys)}
    for key in keys:
        stem = key.removesuffix(CHOSEN) if key.endswith(CHOSEN) else key.removesuffix(REJECTED)
        if stem == key:
            raise ValueError(
                f"{reader.folder}: document {key!r} is no preference; expected keys KEY{CHOSEN} and KEY{REJECTED}, "
                f"as `omni shards import chat` writes them of lines with chosen and rejected"
            )
        for other in (f"{stem}{CHOSEN}", f"{stem}{REJECTED}"):
            if other not in numbers:
                raise ValueError(f"{reader.folder}: document {key!r} has lost its other half {other!r}")
    found = [
        (n, numbers[key.removesuffix(CHOSEN) + REJECTED])
        for n, key in enumerate(keys)
        if key.endswith(CHOSEN)
    ]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


class PairStore(SequenceStore):
    """Pairs by number."""

    def __init__(self, singles: SequenceStore, pairs: Int[np.ndarray, "pairs 2"]) -> None:
        """``singles`` are the documents; it is used up."""
        vars(self).update(vars(singles))
        self.pairs = pairs

    def __getitem__(self, number: int) -> Sequence:
        """Pair ``number``; a ``DocumentError`` where one of its documents is damaged, or both are the same."""
        chosen, rejected = (SequenceStore.__getitem__(self, n) for n in self.pairs[number].tolist())
        return PairSequence.join(chosen, rejected)

    def note(self, number: int, error: DocumentError | None) -> None:
        """Note that a pair was used, or set it aside for an error."""
        super().note(int(self.pairs[number, 0]), error)

    def prefetch(self, numbers: Integer[np.ndarray, " pairs"]) -> None:
        """Fetch the shards of these pairs ahead of their use."""
        super().prefetch(self.pairs[numbers].flatten())

    def fill(self, workers: int) -> None:
        """Nothing: pairs are encoded on first use."""


def paired(opened: OpenFolder) -> OpenFolder:
    """The pairs of a folder that was opened document by document.

    Raises:
        ValueError: a document that is no half of a pair.
    """
    pairs, table = pairs_in(opened.store.reader), opened.lengths.table
    lengths = np.asarray(table.lengths)[pairs]
    answers = answer_modality(np.asarray(table.targets)[pairs[:, 0]])
    whole = (lengths > 0).all(1)
    both = Table(
        np.where(whole, lengths.sum(1), 0),
        np.eye(table.targets.shape[1], dtype=np.int64)[answers] * whole[:, None],
        hashlib.blake2b(f"pairs of {table.digest()}".encode(), digest_size=8).hexdigest(),
    )
    return OpenFolder(PairStore(opened.store, pairs), Lengths(both, opened.lengths.cuts))


class CollatedPairs:
    """Lays out the rows of a share of pairs; small, since it is sent to the workers."""

    def __init__(self, row_length: int) -> None:
        self.row_length = row_length

    def __call__(self, rows: list[list[Sequence]], share: Share) -> PairBatch:
        """The batch of these pairs; a damaged one stays padding."""
        halves = [[half for unit in row for half in _halves(unit)] for row in rows]
        batch = collate(halves, self.row_length, share.targets, share.positions, share.numbers)
        answers = tuple(unit.answer for row in rows for unit in row if isinstance(unit, PairSequence))
        return PairBatch(**vars(batch), answers=answers)


def _halves(unit: Sequence) -> Seq[Sequence]:
    return unit.halves if isinstance(unit, PairSequence) else (unit,)
