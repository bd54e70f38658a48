"""The shuffle: a permutation for every size, computed in parts, that keeps neighbours together."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni.datamodules.stream.permutation import key_of, permuted, shuffled_runs

KEYS = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize("key", [0, 1, 2**64 - 1])
def test_every_size_is_permuted(key: int) -> None:
    for n in [*range(1, 130), 1000, 4096, 4097]:
        assert sorted(permuted(np.arange(n), n, key).tolist()) == list(range(n)), n


@given(st.integers(1, 3000), KEYS, st.data())
def test_a_part_is_what_the_whole_has_there(n: int, key: int, data: st.DataObject) -> None:
    places = np.array(data.draw(st.lists(st.integers(0, n - 1), max_size=20)), dtype=np.int64)
    assert permuted(places, n, key).tolist() == permuted(np.arange(n), n, key)[places].tolist()


def test_golden_orders() -> None:
    """A change of these changes the order of every run: raise ``plan.VERSION``."""
    assert key_of(7, "web", 1) == 2088472548614608088
    assert permuted(np.arange(12), 12, key_of(0)).tolist() == [8, 5, 2, 10, 11, 9, 7, 1, 6, 4, 0, 3]
    assert permuted(np.array([0, 1, 10**11]), 10**11 + 1, key_of(0)).tolist() == [
        71572588202,
        57007477138,
        70687106359,
    ]
    assert shuffled_runs(0, 4, 14, 4, key_of(0)).tolist() == [10, 11, 8, 9, 1, 3, 0, 2, 12, 13, 7, 4, 5, 6]


def test_keys_and_their_parts_differ() -> None:
    keys = {key_of(*parts) for parts in [(0,), (1,), (0, 1), (1, 0), (0, "a"), (0, "b"), ("0",)]}
    assert len(keys) == 7
    orders = {tuple(permuted(np.arange(50), 50, key_of(seed)).tolist()) for seed in range(20)}
    assert len(orders) == 20


def test_no_place_is_favoured() -> None:
    """Each of 8 numbers comes to each of 8 places about as often: chi-squared with 49 degrees of freedom."""
    counts = np.zeros((8, 8))
    for seed in range(1600):
        counts[np.arange(8), permuted(np.arange(8), 8, key_of(seed))] += 1
    chi_squared = ((counts - 200) ** 2 / 200).sum()
    assert chi_squared < 85  # one in a thousand


def test_neighbours_of_an_order_are_not_neighbours() -> None:
    found = permuted(np.arange(10_000), 10_000, key_of(3))
    assert abs(np.corrcoef(found, np.arange(10_000))[0, 1]) < 0.05
    assert abs(np.corrcoef(found[1:], found[:-1])[0, 1]) < 0.05


@settings(max_examples=40)
@given(st.integers(1, 500), st.integers(1, 40), KEYS, st.integers(1, 20))
def test_runs_stay_together_and_every_document_comes_once(
    documents: int, run: int, key: int, step: int
) -> None:
    """Whatever the parts in which the order is asked for."""
    runs = -(-documents // run)
    parts = [
        shuffled_runs(start, min(start + step, runs), documents, run, key) for start in range(0, runs, step)
    ]
    order = np.concatenate(parts)
    assert sorted(order.tolist()) == list(range(documents))
    assert order.tolist() == shuffled_runs(0, runs, documents, run, key).tolist()
    of_run = order // run
    assert int((np.diff(of_run) != 0).sum()) == runs - 1, "each run is one stretch"


def test_the_order_inside_runs_differs_from_run_to_run() -> None:
    order = shuffled_runs(0, 100, 1600, 16, key_of(1)).reshape(100, 16) % 16
    assert len({tuple(row) for row in order.tolist()}) == 100


@pytest.mark.parametrize("place", [-1, 5])
def test_a_place_outside_is_an_error(place: int) -> None:
    with pytest.raises(ValueError, match=rf"places {place} to {place} are not all in range\(5\)"):
        permuted(np.array([place]), 5, 0)
