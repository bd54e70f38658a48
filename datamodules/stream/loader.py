"""The loader: a plan's steps split over ranks, fetched by torch's own ``DataLoader``.

The main process computes the plan, and sends the workers what each batch consists of; they hold no plan and no
state. What was sent ahead doesn't count: the state is that of the batches which were yielded.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Literal, cast

import numpy as np
from torch import Generator
from torch.utils.data import DataLoader, Dataset

from omni.datamodules.stream.balance import balanced_shares
from omni.datamodules.stream.batches import Batch, Batches, Fetched, Share
from omni.datamodules.stream.order import WindowOrder, window_order
from omni.datamodules.stream.plan import Plan, Step
from omni.datamodules.stream.state import PlanState, pack_state, unpack_state
from omni.datamodules.stream.threads import fetch_in_threads
from omni.datamodules.stream.worker_signals import heed_the_parent_alone


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
        for of_turn in balanced_shares(step.costs, self.batch_rows, self.world):
            mine = of_turn[self.rank].tolist()
            numbers = tuple(first + row for row in mine)
            yield Share(tuple(step.rows[row] for row in mine), numbers, step.targets, step.positions)


WorkerKind = Literal["process", "thread"]
"""Threads cost less, since no batch is copied; processes never hold up the Python of the training loop."""
_Sent = tuple[Share, PlanState | None]
"""A share that was sent to a worker, and the state behind its step where it is the last of it."""


class PlannedLoader(Generic[Batch]):
    """Iterates over the batches of a run. It has a length, so Lightning fetches none ahead of its state.

    Each iteration begins with the first batch, but for the one after ``load_state_dict``.
    """

    def __init__(
        self,
        plan: Plan,
        batches: Batches[Batch],
        split: Split,
        steps: int,
        workers: int = 0,
        worker_kind: WorkerKind = "process",
    ) -> None:
        """
        Args:
            plan: the order; the same on every rank.
            batches: fetches.
            split: this rank's part.
            steps: of the whole run; of a plan that ends, at most its length.
            workers: how many fetch; 0 does it in the main process.
            worker_kind: what they are.

        Raises:
            ValueError: the rows of a step can't be split evenly.
        """
        self.plan, self.batches, self.split = plan, batches, split
        self.steps, self.workers, self.worker_kind = steps, workers, worker_kind
        self.batches_per_step = split.batches(plan.config.global_rows)
        self.waited = 0.0
        """Seconds that were spent waiting for batches, since this was made."""
        self._begin: tuple[PlanState, int] = (plan.start(), 0)  # of the next iteration
        self._state, self._turn = self._begin  # behind the last batch that was yielded

    def __len__(self) -> int:
        return self.steps * self.batches_per_step

    def __iter__(self) -> Iterator[Batch]:
        self._state, self._turn = self._begin
        self._begin = (self.plan.start(), 0)  # Lightning leaves its iterators unfinished
        sent: deque[_Sent] = deque()
        for fetched in self._timed(self._fetched(self._shares(self._state, self._turn, sent))):
            share, behind = sent.popleft()
            for number, piece in enumerate(share.pieces()):
                self.batches.stores[piece.source].note(piece.document, fetched.errors.get(number))
            self._turn += 1
            if behind is not None:
                self._state, self._turn = behind, 0
            yield fetched.batch

    def _timed(self, fetched: Iterable[Fetched[Batch]]) -> Iterator[Fetched[Batch]]:
        """The same, with the time that passes before each added to ``waited``."""
        began = time.perf_counter()
        for one in fetched:
            self.waited += time.perf_counter() - began
            yield one
            began = time.perf_counter()

    def _fetched(self, shares: Iterator[Share]) -> Iterable[Fetched[Batch]]:
        if self.workers and self.worker_kind == "thread":
            return fetch_in_threads(self.batches.__getitem__, shares, self.workers)
        return DataLoader(
            cast("Dataset[Fetched[Batch]]", self.batches),
            batch_size=None,
            sampler=shares,
            num_workers=self.workers,
            worker_init_fn=heed_the_parent_alone,
            generator=Generator(),  # or it would draw a number from the global one
        )

    def _shares(self, state: PlanState, turn: int, sent: deque[_Sent]) -> Iterator[Share]:
        """This rank's shares from ``turn`` of a step on; each is noted in ``sent``, too."""
        for shares, behind in self._told(state):
            for number, share in enumerate(shares):
                if number >= turn:
                    sent.append((share, behind if number == len(shares) - 1 else None))
                    yield share
            turn = 0

    def _told(self, state: PlanState) -> Iterator[tuple[list[Share], PlanState]]:
        """This rank's steps with the states behind them; the stores are told of those to come."""
        ahead = max(store.ahead for store in self.batches.stores)
        coming: deque[tuple[list[Share], PlanState]] = deque()
        told = False
        for step, behind in islice(self.plan.steps(state), max(0, self.steps - state.step)):
            coming.append((list(self.split.shares(step)), behind))
            if len(coming) > ahead:
                self._tell([shares for shares, _ in coming])
                told = True
                yield coming.popleft()
        if coming and not told:  # a run of fewer steps
            self._tell([shares for shares, _ in coming])
        yield from coming

    def _tell(self, steps: list[list[Share]]) -> None:
        pieces = [row for shares in steps for share in shares for row in share.rows]
        for source, store in enumerate(self.batches.stores):
            if store.ahead:
                documents = [row[row[:, 0] == source, 1] for row in pieces]
                store.prefetch(np.concatenate(documents))

    def counts(self) -> dict[str, dict[str, int | float]]:
        """By source: documents, positions and epochs until the last whole step that was yielded, on all ranks.

        ``epochs`` are passes over the documents that can be used; ``damaged`` are those set aside since the start
        of this process.
        """
        progress = self.plan.progress(self._state)
        return {
            name: {**found._asdict(), "damaged": store.damaged}
            for (name, found), store in zip(progress.items(), self.batches.stores, strict=True)
        }

    def order(self) -> WindowOrder | None:
        """Hashes of the window that the next row belongs to."""
        return window_order(self.plan, self._state)

    def window(self) -> int:
        """Number of that window."""
        return self._state.window

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
