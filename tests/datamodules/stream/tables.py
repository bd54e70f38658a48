"""Small tables and what the tests ask of a plan."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

import numpy as np

from omni.datamodules.stream.pieces import Piece, cuts_outside
from omni.datamodules.stream.plan import Plan, Step
from omni.datamodules.stream.state import PlanState
from omni.datamodules.stream.table import Table


def targets_of(length: int) -> list[int]:
    """Half of the positions are text targets, the other modalities have one each where there is room."""
    return [length // 2, int(length > 2), int(length > 3)]


def table_of(lengths: Iterable[int]) -> Table:
    """A table of documents with these lengths."""
    known = list(lengths)
    targets = np.array([targets_of(length) for length in known], np.int64).reshape(-1, 3)
    return Table(np.array(known, np.int64), targets)


def random_table(documents: int, seed: int, low: int = 1, high: int = 20) -> Table:
    """Documents of random lengths from ``low`` to below ``high``."""
    return table_of(np.random.default_rng(seed).integers(low, high, size=documents).tolist())


class EveryFive:
    """Documents made of pictures of five positions; each piece has as many targets as positions."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def allowed(self, document: int) -> np.ndarray:
        """Cuts between pictures."""
        length = int(self.table.lengths[document])
        parts = [5] * (length // 5) + [length % 5] * (length % 5 > 0)
        return cuts_outside(parts, [True] * len(parts))

    def targets(self, document: int, start: int, stop: int) -> np.ndarray:
        """As many text targets as positions."""
        return np.array([stop - start, 0, 0], np.int64)


def pieces_in(step: Step) -> list[list[Piece]]:
    """Pieces of a step, row by row."""
    return [[Piece(*piece) for piece in row.tolist()] for row in step.rows]


def first_steps(plan: Plan, count: int, state: PlanState | None = None) -> list[Step]:
    """Steps from a state on."""
    return [step for step, _ in islice(plan.steps(state), count)]


def first_rows(plan: Plan, count: int) -> list[list[Piece]]:
    """Rows of the first steps."""
    return [row for step in first_steps(plan, count) for row in pieces_in(step)]


def same(one: Step, other: Step) -> bool:
    """The two steps are equal to the last bit, rows in the same order."""
    return (one.number, one.costs, one.targets, one.positions) == (
        other.number,
        other.costs,
        other.targets,
        other.positions,
    ) and pieces_in(one) == pieces_in(other)
