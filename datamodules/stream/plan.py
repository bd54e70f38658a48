"""The order of training: a pure function of (document lengths, settings, seed).

Workers only fetch what the plan says, so nothing about order depends on their timing or number, and the state
of the stream is one number: how many steps were taken.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from omni.datamodules.packing import pack_windows


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """Settings that decide the order."""

    row_length: int = 2048
    """S: positions of a row."""
    global_rows: int = 8
    """Rows of one optimizer step, over all ranks and accumulated batches."""
    window: int = 4096
    """Documents that are packed together."""
    seed: int = 0
    """Seed of the shuffle."""

    def __post_init__(self) -> None:
        for name in ("row_length", "global_rows", "window"):
            if getattr(self, name) < 1:
                raise ValueError(f"data.plan.{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True, eq=False)
class Table:
    """What the plan needs to know of every document."""

    lengths: Int[np.ndarray, " documents"]
    """Positions; 0 for a document that is left out."""
    targets: Int[np.ndarray, "documents M"]
    """Training targets by modality."""


@dataclass(frozen=True)
class Step:
    """One optimizer step."""

    rows: tuple[tuple[int, ...], ...]
    """Document numbers, row by row."""
    targets: tuple[int, ...]
    """Training targets of the whole step by modality."""
    positions: int
    """Real positions of the whole step."""


class Plan:
    """Steps of one epoch after another. An epoch's last rows may share a step with the first of the next."""

    def __init__(self, table: Table, config: PlanConfig) -> None:
        """
        Raises:
            ValueError: no document can be used.
        """
        self.table, self.config = table, config
        self.usable = np.flatnonzero((table.lengths > 0) & (table.lengths <= config.row_length))
        if not len(self.usable):
            found = table.lengths[table.lengths > 0]
            shortest = f"the shortest has {found.min()}" if len(found) else "none could be read"
            raise ValueError(
                f"none of {len(table.lengths)} documents fits into a row of {config.row_length} positions "
                f"(data.plan.row_length); {shortest}"
            )
        self._starts = [0]  # number of each epoch's first row, counted over all epochs
        self._kept: dict[int, list[tuple[int, ...]]] = {}  # rows of the last two epochs that were asked for

    def step(self, number: int) -> Step:
        """Step ``number``, counted from 0 over all epochs."""
        size = self.config.global_rows
        rows = tuple(self._row(row) for row in range(number * size, (number + 1) * size))
        documents = [document for row in rows for document in row]
        targets = self.table.targets[documents].sum(0)
        return Step(rows, tuple(targets.tolist()), int(self.table.lengths[documents].sum()))

    def _row(self, number: int) -> tuple[int, ...]:
        while self._starts[-1] <= number:
            self._starts.append(self._starts[-1] + len(self._epoch(len(self._starts) - 1)))
        epoch = bisect.bisect_right(self._starts, number) - 1
        return self._epoch(epoch)[number - self._starts[epoch]]

    def _epoch(self, epoch: int) -> list[tuple[int, ...]]:
        if epoch not in self._kept:
            if len(self._kept) == 2:
                del self._kept[next(iter(self._kept))]
            self._kept[epoch] = self.epoch_rows(epoch)
        return self._kept[epoch]

    def epoch_rows(self, epoch: int) -> list[tuple[int, ...]]:
        """All rows of an epoch, in order: documents shuffled, packed in windows, rows shuffled."""
        generator = np.random.default_rng([self.config.seed, epoch])
        order = self.usable[generator.permutation(len(self.usable))]
        packs = pack_windows(order, self.table.lengths, self.config.row_length, self.config.window)
        return [tuple(packs[i]) for i in generator.permutation(len(packs))]

    def fill(self) -> float:
        """Share of the positions of the first epoch's rows that hold something."""
        rows = self.epoch_rows(0)
        return float(self.table.lengths[self.usable].sum() / (len(rows) * self.config.row_length))
