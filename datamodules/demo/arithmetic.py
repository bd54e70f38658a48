"""Which sums are asked, and which pairs of digits are held out.

Were there sums of two digits, the model would learn the 46 pairs by heart within a hundred steps and answer no
other one. There are too many sums of three to six digits for that, so it learns to add (docs/decisions.md), and
two digits are added as three, from zero: "zero and three and four make seven". No sum in training has a held-out
pair side by side, or no more than one but for zeros.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement, pairwise

import numpy as np

from omni.datamodules.demo.speech import DIGIT_WORDS

FEWEST_DIGITS = 3
"""Digits of a sum at least, as it is written."""
MOST_DIGITS = 6
"""Digits of a sum at most."""
_TEENS = (
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
)
_TENS = ("twenty", "thirty", "forty", "fifty")
NUMBER_WORDS = (
    *DIGIT_WORDS,
    *_TEENS,
    *(f"{tens} {digit}" if digit != DIGIT_WORDS[0] else tens for tens in _TENS for digit in DIGIT_WORDS),
)[: 9 * MOST_DIGITS + 1]
"""Zero to fifty four, the largest sum of six digits."""

Pair = tuple[int, int]
PAIRS: tuple[Pair, ...] = tuple(combinations_with_replacement(range(10), 2))
"""The 55 unordered pairs of digits, smaller digit first."""
HELDOUT_PAIRS = 9
MAX_PER_DIGIT = 3


def unordered(a: int, b: int) -> Pair:
    """The pair as it stands in ``PAIRS``."""
    return (min(a, b), max(a, b))


def neighbours(pair: Pair) -> frozenset[Pair]:
    """The pairs that differ by one in one digit."""
    a, b = pair
    moved = ((a - 1, b), (a + 1, b), (a, b - 1), (a, b + 1))
    return frozenset(unordered(*p) for p in moved if min(p) >= 0 and max(p) <= 9) - {pair}


def heldout_pairs(seed: int) -> frozenset[Pair]:
    """The 9 pairs that training never adds, in any order or media.

    What training needs to know the answer stays in it: every sum (no two held-out pairs share one, and the
    sums 0, 1, 17 and 18, which only one pair has, aren't held out), every digit in at least 7 pairs, and
    every neighbour of a held-out pair.
    """
    rng = np.random.default_rng([seed, len(PAIRS)])
    while True:
        chosen: set[Pair] = set()
        for i in rng.permutation(len(PAIRS)):
            if len(chosen) < HELDOUT_PAIRS and _may_join(PAIRS[i], chosen):
                chosen.add(PAIRS[i])
        if len(chosen) == HELDOUT_PAIRS:
            return frozenset(chosen)


def _may_join(pair: Pair, chosen: set[Pair]) -> bool:
    if sum(pair) in (0, 1, 17, 18) or sum(pair) in {sum(other) for other in chosen}:
        return False
    if any(sum(digit in other for other in chosen) >= MAX_PER_DIGIT for digit in pair):
        return False
    return not neighbours(pair) & chosen


def addends(operands: Sequence[int]) -> tuple[int, ...]:
    """What is added, as it is written: the operands, behind a zero where there are only two."""
    return (0,) * (FEWEST_DIGITS - len(operands)) + tuple(operands)


def random_digits(count: int, heldout: frozenset[Pair], rng: np.random.Generator) -> tuple[int, ...]:
    """``count`` digits in which no held-out pair stands side by side, or alone but for zeros."""
    alone = {_without_zeros(pair) for pair in heldout}
    while True:
        digits = tuple(int(digit) for digit in rng.integers(0, 10, count))
        together = any(unordered(a, b) in heldout for a, b in pairwise(digits))
        if not together and (count < 2 or _without_zeros(digits) not in alone):
            return digits


def _without_zeros(digits: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(digit for digit in digits if digit))
