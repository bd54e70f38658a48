"""Packing: every document in one row, no row too long, rows nearly full."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni.datamodules.packing import best_fit_decreasing


def slow_best_fit(lengths: list[int], capacity: int) -> list[int]:
    """The rule itself: the longest first, each into the fullest row that has room."""
    rows: list[int] = []
    row_of = [0] * len(lengths)
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        fits = [row for row, used in enumerate(rows) if used + lengths[index] <= capacity]
        if fits:
            row = max(fits, key=lambda row: (rows[row], -row))
        else:
            row = len(rows)
            rows.append(0)
        rows[row] += lengths[index]
        row_of[index] = row
    return row_of


def test_worked_example() -> None:
    """Rows of 10. 9 opens a row, 7 and 6 as well; 3 fills up the row of 7, both 2 that of 6, and 1 that of 9."""
    lengths = [2, 7, 1, 6, 9, 3, 2]
    assert best_fit_decreasing(np.array(lengths), 10).tolist() == [2, 1, 0, 2, 0, 1, 2]


@given(st.lists(st.integers(1, 50), max_size=200), st.integers(50, 80))
def test_it_is_the_rule(lengths: list[int], capacity: int) -> None:
    row_of = best_fit_decreasing(np.array(lengths, np.int64), capacity).tolist()
    assert row_of == slow_best_fit(lengths, capacity)
    sums = np.bincount(row_of, weights=lengths) if lengths else np.zeros(0)
    assert all(0 < total <= capacity for total in sums)


@pytest.mark.parametrize(("mean", "least"), [(150, 0.99), (500, 0.997), (1000, 0.997)])
def test_fill_of_a_window_at_8k(mean: int, least: float) -> None:
    """Lengths as those of web text: log-normal, a few over the row, which are left out."""
    lengths = np.random.default_rng(0).lognormal(np.log(mean) - 0.5, 1.0, size=4096).astype(np.int64) + 8
    lengths = lengths[lengths <= 8192]
    rows = best_fit_decreasing(lengths, 8192).max() + 1
    assert lengths.sum() / (rows * 8192) > least


def test_a_document_longer_than_a_row_is_an_error() -> None:
    with pytest.raises(ValueError, match="a document of 11 positions can't fit into a row of 10"):
        best_fit_decreasing(np.array([3, 11]), 10)


def test_nothing_makes_no_rows() -> None:
    assert best_fit_decreasing(np.zeros(0, np.int64), 10).tolist() == []
