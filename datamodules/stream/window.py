"""A window: some thousand documents of the mixture, packed into rows by themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from omni.datamodules.packing import best_fit_decreasing
from omni.datamodules.stream.mixture import Counters
from omni.datamodules.stream.permutation import permuted


@dataclass(frozen=True, eq=False)
class Window:
    """Rows that were packed together."""

    rows: list[Int[np.ndarray, "_ 4"]]
    """``Piece``s (source, document, start, stop) of each row."""
    costs: Float[np.ndarray, " rows"]
    targets: Int[np.ndarray, "rows M"]
    """Training targets of each row by modality."""
    positions: Int[np.ndarray, " rows"]
    phase: int
    """Of the mixture's weights."""
    after: tuple[Counters, ...]
    """By source, behind the window."""


def pack_window(
    pieces: Int[np.ndarray, "pieces 4"],
    costs: Float[np.ndarray, " pieces"],
    targets: Int[np.ndarray, "pieces M"],
    *,
    row_length: int,
    key: int,
    phase: int,
    after: tuple[Counters, ...],
) -> Window:
    """Pack pieces into rows of ``row_length`` positions, and shuffle the rows under ``key``.

    Packing opens rows by their longest document; unshuffled, a step would be nothing but long documents.
    """
    lengths = pieces[:, 3] - pieces[:, 2]
    packed = best_fit_decreasing(lengths, row_length)
    rows = int(packed.max()) + 1
    row_of = permuted(np.arange(rows), rows, key)[packed]
    by_row = np.argsort(row_of, kind="stable")
    starts = np.concatenate([[0], np.cumsum(np.bincount(row_of))[:-1]])
    return Window(
        rows=np.split(pieces[by_row], starts[1:]),
        costs=np.add.reduceat(costs[by_row], starts),
        targets=np.add.reduceat(targets[by_row], starts, axis=0),
        positions=np.add.reduceat(lengths[by_row], starts),
        phase=phase,
        after=after,
    )
