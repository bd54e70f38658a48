"""What workers do: fetch the documents of a batch, and lay them out.

A document that turns out to be damaged keeps its place as a hole: padding of its planned length. So no other
document moves, every rank has as many batches as planned, and ``targets`` and ``positions`` of the step, by which
losses are divided, stay those of the plan: the others weigh what they would have weighed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from itertools import islice
from typing import Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Int
from torch.utils.data import Dataset

from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.stream.pieces import Piece, cut
from omni.sequence import Sequence

Batch = TypeVar("Batch")
Given = TypeVar("Given", covariant=True)


@runtime_checkable
class Sequences(Protocol):
    """The documents of a source as sequences, by number: what workers use."""

    def __getitem__(self, number: int, /) -> Sequence:
        """Sequence of document ``number``; a ``DocumentError`` if it is damaged."""
        ...

    def hole(self, length: int, /) -> Sequence:
        """What stands in the place of a damaged document."""
        ...


@runtime_checkable
class Ledger(Protocol):
    """What becomes of the documents of a source: what the main process uses, in the order of the plan."""

    def note(self, number: int, error: DocumentError | None, /) -> None:
        """Note that a document of a yielded batch was used, or damaged."""
        ...

    @property
    def damaged(self) -> int:
        """Damaged documents that were noted."""
        ...

    @property
    def ahead(self) -> int:
        """Steps of the plan whose documents ``prefetch`` wants to know; 0 for none."""
        ...

    def prefetch(self, numbers: Int[np.ndarray, " documents"], /) -> None:
        """Get ready for these documents, which come in this order."""
        ...


@runtime_checkable
class Store(Sequences, Ledger, Protocol):
    """A source for workers and for the main process."""


@dataclass(frozen=True, eq=False)
class Share:
    """What one batch of one rank consists of."""

    rows: tuple[Int[np.ndarray, "_ 4"], ...]
    """``Piece``s (source, document, start, stop) of its B rows; a row that fills up has none."""
    numbers: tuple[int, ...]
    """Of its rows in the whole run, whoever gets them."""
    targets: tuple[int, ...]
    """Training targets of the whole step by modality."""
    positions: int
    """Planned positions of the whole step."""

    def pieces(self) -> Iterator[Piece]:
        """Pieces of all rows, in order."""
        return (Piece(*piece) for row in self.rows for piece in row.tolist())


@dataclass(frozen=True, eq=False)
class Fetched(Generic[Given]):
    """A batch, and what was wrong with documents of it."""

    batch: Given
    errors: dict[int, DocumentError]
    """By the number of the piece among those of the share."""


@runtime_checkable
class Batches(Protocol[Given]):
    """Fetches batches, with a share for an index: all that workers have."""

    @property
    def stores(self) -> Seq[Ledger]:
        """Of the plan's sources, in their order."""
        ...

    def __getitem__(self, share: Share, /) -> Fetched[Given]:
        """The batch that ``share`` describes."""
        ...


Collate = Callable[[list[list[Sequence]], Share], Batch]
"""Lays out the sequences of a share's rows. A batch without any sequence gets one of length 0 in its first row,
which says how wide patches and codes are."""


class PlannedBatches(Dataset[Fetched[Batch]], Generic[Batch]):
    """Fetches the documents of a share as sequences, and lays them out."""

    def __init__(self, stores: Seq[Store], collate: Collate[Batch]) -> None:
        """``stores`` are those of the plan's sources, in their order."""
        self.stores, self.collate = stores, collate

    def __getitem__(self, share: Share) -> Fetched[Batch]:
        """The batch that ``share`` describes."""
        errors: dict[int, DocumentError] = {}
        sequences: list[Sequence] = []
        for number, piece in enumerate(share.pieces()):
            try:
                sequences.append(self._sequence(piece))
            except DocumentError as error:
                errors[number] = error
                sequences.append(self.stores[piece.source].hole(piece.stop - piece.start))
        found = iter(sequences)
        rows = [list(islice(found, len(row))) for row in share.rows]
        if not any(rows):
            rows[0] = [self.stores[0].hole(0)]
        return Fetched(self.collate(rows, share), errors)

    def _sequence(self, piece: Piece) -> Sequence:
        sequence = self.stores[piece.source][piece.document]
        if piece.stop > len(sequence):
            raise DocumentError(f"{sequence.key}: {len(sequence)} positions, the plan has {piece.stop}")
        return cut(sequence, piece.start, piece.stop)
