"""The loader: a plan's steps split over ranks, fetched by torch's own ``DataLoader``.

The main process computes the plan, and sends the workers what each batch consists of; they hold no plan and no
state. What was sent ahead doesn't count: the state is that of the batches which were yielded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np
from jaxtyping import Int
from torch import Generator
from torch.utils.data import DataLoader, Dataset

from omni.datamodules.stream.balance import balanced_shares
from omni.datamodules.stream.pieces import Piece, cut
from omni.datamodules.stream.plan import Plan, Step
from omni.datamodules.stream.state import PlanState, pack_state, unpack_state
from omni.sequence import Sequence

Batch = TypeVar("Batch")


@runtime_checkable
class Store(Protocol):
    """The documents of a source as sequences, by number."""

    def __getitem__(self, number: int, /) -> Sequence:
        """Sequence of document ``number``."""
        ...


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
    """Real positions of the whole step."""
    sample: Piece
    """A piece of the step; its empty sequence stands in where no row of the batch has one."""


Collate = Callable[[list[list[Sequence]], Share], Batch]
"""Lays out the sequences of a share's rows. A batch without any sequence gets one of length 0 in its first row,
which says how wide patches and codes are."""


class PlannedBatches(Dataset[Batch], Generic[Batch]):
    """Map-style, with a share for an index: fetches its documents and lays them out. All that workers have."""

    def __init__(self, stores: Seq[Store], collate: Collate[Batch]) -> None:
        """``stores`` are those of the plan's sources, in their order."""
        self.stores, self.collate = stores, collate

    def __getitem__(self, share: Share) -> Batch:
        """The batch that ``share`` describes."""
        rows = [[self._sequence(Piece(*piece)) for piece in row.tolist()] for row in share.rows]
        if not any(rows):
            rows[0] = [cut(self.stores[share.sample.source][share.sample.document], 0, 0)]
        return self.collate(rows, share)

    def _sequence(self, piece: Piece) -> Sequence:
        sequence = self.stores[piece.source][piece.document]
        return cut(sequence, piece.start, piece.stop)


@dataclass(frozen=True, kw_only=True)
class Split:
    """How the rows of each step are split."""

    batch_rows: int
    """B: rows of a batch."""
    rank: int = 0
    world: int = 1

    def batches(self, global_rows: int) -> int:
        """Batches of each rank in a step (accumulated)."""
        return len(balanced_shares([0.0] * global_rows, self.batch_rows, self.world))

    def shares(self, step: Step) -> Iterator[Share]:
        """This rank's batches of a step, in turn."""
        first = len(step.rows) * step.number
        sample = Piece(*next(row for row in step.rows if len(row))[0].tolist())
        for of_turn in balanced_shares(step.costs, self.batch_rows, self.world):
            mine = of_turn[self.rank].tolist()
            numbers = tuple(first + row for row in mine)
            yield Share(tuple(step.rows[row] for row in mine), numbers, step.targets, step.positions, sample)


class PlannedLoader(Generic[Batch]):
    """Iterates over the batches of a run. It has a length, so Lightning fetches none ahead of its state.

    Each iteration begins with the first batch, but for the one after ``load_state_dict``.
    """

    def __init__(
        self,
        plan: Plan,
        batches: PlannedBatches[Batch],
        split: Split,
        steps: int,
        workers: int = 0,
    ) -> None:
        """
        Args:
            plan: the order; the same on every rank.
            batches: fetches.
            split: this rank's part.
            steps: of the whole run; of a plan that ends, at most its length.
            workers: processes that fetch; 0 does it in the main process.

        Raises:
            ValueError: the rows of a step can't be split evenly.
        """
        self.plan, self.batches, self.split = plan, batches, split
        self.steps, self.workers = steps, workers
        self.batches_per_step = split.batches(plan.config.global_rows)
        self._begin: tuple[PlanState, int] = (plan.start(), 0)  # of the next iteration
        self._state, self._turn = self._begin  # behind the last batch that was yielded

    def __len__(self) -> int:
        return self.steps * self.batches_per_step

    def __iter__(self) -> Iterator[Batch]:
        self._state, self._turn = self._begin
        self._begin = (self.plan.start(), 0)  # Lightning leaves its iterators unfinished
        behind: dict[int, PlanState] = {}  # by step, of those that were sent ahead
        loader = DataLoader(
            self.batches,
            batch_size=None,
            sampler=self._shares(self._state, self._turn, behind),
            num_workers=self.workers,
            generator=Generator(),  # or it would draw a number from the global one
        )
        for batch in loader:
            self._turn += 1
            if self._turn == self.batches_per_step:
                self._state, self._turn = behind.pop(self._state.step), 0
            yield batch

    def _shares(self, state: PlanState, turn: int, behind: dict[int, PlanState]) -> Iterator[Share]:
        while state.step < self.steps and (found := self.plan.step(state)) is not None:
            step, state = found
            behind[step.number] = state
            for number, share in enumerate(self.split.shares(step)):
                if number >= turn:
                    yield share
            turn = 0

    def state_dict(self) -> dict[str, Any]:
        """The plan's state behind the last whole step that was yielded, and the batches yielded since."""
        packed = pack_state(self._state, self.plan.fingerprint)
        return packed | {"batch": self._turn, "batches_per_step": self.batches_per_step}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on behind the batches that ``state`` counts, which another number of workers or ranks may have had.

        Raises:
            ValueError: the state belongs to another plan, or was saved between two batches of a step and the
                steps are split otherwise now.
        """
        found = unpack_state(state, self.plan.fingerprint)
        if state["batch"] and state["batches_per_step"] != self.batches_per_step:
            raise ValueError(
                f"the state was saved inside step {found.step}, after {state['batch']} of "
                f"{state['batches_per_step']} batches; a step has {self.batches_per_step} now. Resume with as many "
                f"ranks and data.batch_rows as before, or from a checkpoint saved after a whole step"
            )
        self._state, self._turn = self._begin = (found, state["batch"])
