"""Exact match and perplexities, worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from omni.evaluation.metrics.text import UnigramBaseline, normalised, perplexity


@pytest.mark.parametrize(
    ("answer", "reference", "same"),
    [
        ("seven", "seven", True),
        ("  Seven\n", "seven", True),
        ("two  words", "two words", True),
        ("seven.", "seven", False),
        ("seventeen", "seven", False),
        ("", "seven", False),
    ],
)
def test_exact_match_ignores_case_and_white_space_only(answer: str, reference: str, same: bool) -> None:
    assert (normalised(answer) == normalised(reference)) is same


def test_perplexity_is_the_mean_cost_as_a_number_of_choices() -> None:
    assert perplexity(3 * math.log(8), 3) == pytest.approx(8)
    with pytest.raises(ValueError, match="at least 1 token, got 0"):
        perplexity(1.0, 0)


def test_unigram_by_hand() -> None:
    unigram = UnigramBaseline([np.array([0, 0, 1]), np.array([0, 2])], vocabulary=4)
    # counts with one added: 4, 2, 2, 1 of 9
    scored = unigram.score(np.array([0, 1, 3]))
    assert np.exp(-scored.nats).tolist() == pytest.approx([4 / 9, 2 / 9, 1 / 9])
    assert scored.perplexity == pytest.approx((9 / 4 * 9 / 2 * 9) ** (1 / 3))


def test_tokens_outside_the_vocabulary_are_refused() -> None:
    with pytest.raises(ValueError, match="token ids from 0 to 4, expected 0 to 3"):
        UnigramBaseline([np.array([0, 4])], vocabulary=4)
    with pytest.raises(ValueError, match="token ids from -1 to 1, expected 0 to 3"):
        UnigramBaseline([], vocabulary=4).score(np.array([-1, 1]))
