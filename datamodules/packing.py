"""Packs documents into rows of fixed length: best-fit decreasing (Johnson 1974)."""

from __future__ import annotations

from bisect import bisect_left, insort

import numpy as np
from jaxtyping import Int

_ROW_BITS = 32


def best_fit_decreasing(lengths: Int[np.ndarray, " n"], capacity: int) -> Int[np.ndarray, " n"]:
    """Row of each document, so that the lengths in a row sum to at most ``capacity``.

    The longest comes first, and each goes into the fullest row that has room for it. Rows are numbered from 0
    in the order in which they are opened.

    Raises:
        ValueError: a length is over the capacity.
    """
    if not len(lengths):
        return np.zeros(0, dtype=np.int64)
    if lengths.max() > capacity:
        raise ValueError(f"a document of {lengths.max()} positions can't fit into a row of {capacity}")
    order = np.argsort(-lengths, kind="stable")
    longest_first = lengths[order].tolist()
    smallest = longest_first[-1]
    room: list[
        int
    ] = []  # free positions and row in one number, sorted; rows that can take no more are left out
    rows: list[int] = []
    opened = 0
    for length in longest_first:
        at = bisect_left(room, length << _ROW_BITS)
        if at == len(room):
            free, row = capacity - length, opened
            opened += 1
        else:
            found = room.pop(at)
            free, row = (found >> _ROW_BITS) - length, found & (1 << _ROW_BITS) - 1
        rows.append(row)
        if free >= smallest:
            insort(room, free << _ROW_BITS | row)
    row_of = np.empty(len(lengths), dtype=np.int64)
    row_of[order] = rows
    return row_of
