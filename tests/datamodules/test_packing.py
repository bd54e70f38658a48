"""Packing: every document once, never over the row, rows nearly full."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni.datamodules.packing import best_fit_decreasing, pack_windows


def test_worked_example() -> None:
    """Rows of 10. The longest go first, each into the fullest row that has room.

    9 opens a row, 7 and 6 as well; 3 fills up the row of 7, both 2 the row of 6, and 1 that of 9.
    """
    #           0  1  2  3  4  5  6
    lengths = [2, 7, 1, 6, 9, 3, 2]
    rows = best_fit_decreasing(np.array(lengths), 10)
    assert rows == [[4, 2], [1, 5], [3, 0, 6]]
    assert [[lengths[i] for i in row] for row in rows] == [[9, 1], [7, 3], [6, 2, 2]]


@given(st.lists(st.integers(1, 50), max_size=200), st.integers(50, 80))
def test_every_document_once_and_no_row_too_long(lengths: list[int], capacity: int) -> None:
    rows = best_fit_decreasing(np.array(lengths, np.int64), capacity)
    assert sorted(i for row in rows for i in row) == list(range(len(lengths)))
    sums = [sum(lengths[i] for i in row) for row in rows]
    assert all(0 < total <= capacity for total in sums)
    # no two rows fit into one: a later row's first document had no room in any earlier one
    assert all(a + b > capacity for a, b in pairwise(sums))


def test_fill() -> None:
    lengths = np.random.default_rng(0).integers(10, 400, size=4096)
    rows = best_fit_decreasing(lengths, 2048)
    assert lengths.sum() / (len(rows) * 2048) > 0.999


def test_a_document_longer_than_a_row_is_an_error() -> None:
    with pytest.raises(ValueError, match="a document of 11 positions can't fit into a row of 10"):
        best_fit_decreasing(np.array([3, 11]), 10)


def test_nothing_makes_no_rows() -> None:
    assert best_fit_decreasing(np.zeros(0, np.int64), 10) == []
    assert pack_windows(np.zeros(0, np.int64), np.zeros(0, np.int64), 10, 4) == []


@given(st.lists(st.integers(1, 10), min_size=1, max_size=60), st.integers(1, 70))
def test_windows_are_packed_one_by_one(lengths: list[int], window: int) -> None:
    order = np.random.default_rng(len(lengths)).permutation(len(lengths))
    rows = pack_windows(order, np.array(lengths), 10, window)
    expected = []
    for start in range(0, len(order), window):
        part = order[start : start + window]
        packed = best_fit_decreasing(np.array(lengths)[part], 10)
        expected += [[int(part[i]) for i in row] for row in packed]
    assert rows == expected
    assert sorted(number for row in rows for number in row) == list(range(len(lengths)))
