"""The loader: a plan, fetched by torch's own ``DataLoader``; its whole state is the number of steps taken."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Generator
from torch.utils.data import DataLoader, Dataset

from omni.datamodules.collate import collate
from omni.datamodules.stream.plan import Plan
from omni.datamodules.stream.store import SequenceStore
from omni.sequence import OmniBatch


class PlannedBatches(Dataset[OmniBatch]):
    """Map-style: batch ``i`` of this rank, counting the accumulated batches of a step one by one."""

    def __init__(self, store: SequenceStore, plan: Plan, batch_rows: int, rank: int, world: int) -> None:
        """
        Raises:
            ValueError: the rows of a step can't be split evenly.
        """
        rows = plan.config.global_rows
        if rows % (batch_rows * world):
            raise ValueError(
                f"data.plan.global_rows {rows} must be a multiple of data.batch_rows {batch_rows} "
                f"x {world} ranks"
            )
        self.store, self.plan, self.batch_rows = store, plan, batch_rows
        self.rank, self.world = rank, world
        self.batches_per_step = rows // (batch_rows * world)

    def __getitem__(self, number: int) -> OmniBatch:
        """Batch ``number`` of this rank; ``batches_per_step`` of each rank are one step of the plan."""
        step = self.plan.step(number // self.batches_per_step)
        share = number % self.batches_per_step * self.world + self.rank
        rows = step.rows[share * self.batch_rows : (share + 1) * self.batch_rows]
        sequences = [[self.store[document] for document in row] for row in rows]
        return collate(sequences, self.plan.config.row_length, step.targets, step.positions)


class PlannedLoader:
    """Iterates over the batches of a run. It has a length, so Lightning fetches none ahead of its state.

    Each iteration begins with the first batch, but for the one after ``load_state_dict``.
    """

    def __init__(self, batches: PlannedBatches, length: int, workers: int) -> None:
        self.batches, self.length, self.workers = batches, length, workers
        self.taken = self._start = 0

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[OmniBatch]:
        self.taken, self._start = self._start, 0  # Lightning leaves its iterators unfinished
        loader = DataLoader(
            self.batches,
            batch_size=None,
            sampler=range(self.taken, self.length),
            num_workers=self.workers,
            generator=Generator(),  # or it would draw a number from the global one
        )
        for batch in loader:
            self.taken += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """Batches yielded so far, and how many of them make a step."""
        return {"taken": self.taken, "batches_per_step": self.batches.batches_per_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on behind the batches that ``state`` counts.

        Raises:
            ValueError: it counts other batches than these, so the place in the data would be wrong.
        """
        now = self.batches.batches_per_step
        if (then := state.get("batches_per_step", now)) != now:
            raise ValueError(
                f"the checkpoint is of a run with {then} batches a step on each rank, but now there are {now}: "
                f"keep data.plan.global_rows, and data.batch_rows x ranks, as they were"
            )
        self.taken = self._start = state["taken"]
