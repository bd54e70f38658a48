"""Packs documents into rows of fixed length: best-fit decreasing inside independent windows."""

from __future__ import annotations

import bisect
from collections.abc import Sequence as Seq

import numpy as np
from jaxtyping import Int


def best_fit_decreasing(lengths: Int[np.ndarray, " n"], capacity: int) -> list[list[int]]:
    """Groups of indices whose lengths sum to at most ``capacity``.

    The longest comes first, and each goes into the fullest row that has room for it.

    Raises:
        ValueError: a length is over the capacity.
    """
    if len(lengths) and lengths.max() > capacity:
        raise ValueError(f"a document of {lengths.max()} positions can't fit into a row of {capacity}")
    rows: list[list[int]] = []
    room: list[tuple[int, int]] = []  # (free positions, row), sorted
    for index in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[index])
        at = bisect.bisect_left(room, (length, -1))
        if at == len(room):
            rows.append([index])
            bisect.insort(room, (capacity - length, len(rows) - 1))
        else:
            free, row = room.pop(at)
            rows[row].append(index)
            bisect.insort(room, (free - length, row))
    return rows


def pack_windows(
    order: Int[np.ndarray, " n"], lengths: Int[np.ndarray, " documents"], capacity: int, window: int
) -> list[Seq[int]]:
    """Pack ``order`` (document numbers) window by window; returns rows of document numbers."""
    packs: list[Seq[int]] = []
    for start in range(0, len(order), window):
        part = order[start : start + window]
        packs.extend(part[row].tolist() for row in best_fit_decreasing(lengths[part], capacity))
    return packs
