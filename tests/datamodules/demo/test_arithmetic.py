"""The held-out pairs leave in training what is needed to add them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from omni.datamodules.demo.arithmetic import (
    NUMBER_WORDS,
    PAIRS,
    addends,
    heldout_pairs,
    neighbours,
    random_digits,
    unordered,
)


def test_there_are_55_pairs_and_words_up_to_six_nines() -> None:
    assert len(PAIRS) == 55
    assert len(NUMBER_WORDS) == 55
    assert (NUMBER_WORDS[0], NUMBER_WORDS[13], NUMBER_WORDS[18]) == ("zero", "thirteen", "eighteen")
    assert (NUMBER_WORDS[20], NUMBER_WORDS[21], NUMBER_WORDS[54]) == ("twenty", "twenty one", "fifty four")


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_random_digits_hold_no_heldout_pair_side_by_side_or_alone(count: int) -> None:
    heldout, rng = heldout_pairs(0), np.random.default_rng(0)
    drawn = [random_digits(count, heldout, rng) for _ in range(1_000)]
    assert {len(digits) for digits in drawn} == {count}
    assert {digit for digits in drawn for digit in digits} == set(range(10))
    for digits in drawn:
        assert not {unordered(a, b) for a, b in pairwise(digits)} & heldout
        added = [digit for digit in digits if digit]
        assert count == 1 or unordered(*[0, 0, *added][-2:]) not in heldout or len(added) > 2


def test_two_digits_are_added_as_three() -> None:
    assert addends((3, 4)) == (0, 3, 4)
    assert addends((0, 0)) == (0, 0, 0)
    assert addends((3, 4, 5)) == (3, 4, 5)
    assert addends((9,) * 6) == (9,) * 6


def test_pairs_have_no_order() -> None:
    assert unordered(7, 3) == unordered(3, 7) == (3, 7)
    assert neighbours((3, 7)) == {(2, 7), (4, 7), (3, 6), (3, 8)}
    assert neighbours((0, 0)) == {(0, 1)}
    assert neighbours((4, 4)) == {(3, 4), (4, 5)}


@pytest.mark.parametrize("seed", range(30))
def test_heldout_pairs_can_be_inferred_from_the_others(seed: int) -> None:
    heldout = heldout_pairs(seed)
    train = set(PAIRS) - heldout
    assert len(heldout) == 9
    assert {sum(pair) for pair in train} == set(range(19))
    for digit in range(10):
        assert sum(digit in pair for pair in train) >= 7
    for pair in heldout:
        assert neighbours(pair) <= train


def test_the_seed_chooses_the_pairs() -> None:
    assert heldout_pairs(5) == heldout_pairs(5)
    assert len({heldout_pairs(seed) for seed in range(10)}) == 10
