"""Metrics kept document by document: values of known cases, intervals, and adding up over ranks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni.evaluation.metrics.tally import MetricName, Tally, merged

CAT = "the cat sat on the mat"


@pytest.mark.parametrize(
    ("metric", "said", "value"),
    [
        ("wer", "the cat sat on mat", 1 / 6),  # a word left out
        ("cer", "the cat sat on the hat", 1 / 22),
        ("bleu", CAT, 1.0),
        ("chrf", CAT, 1.0),
        ("wer", "", 1.0),
    ],
)
def test_known_values(metric: MetricName, said: str, value: float) -> None:
    assert Tally.of("figure", metric, {0: (said, CAT)}).value == pytest.approx(value)


def test_bleu_of_a_corpus_is_not_the_mean_of_its_sentences() -> None:
    """2 + 6 words of 6 each: precisions of all n-grams together, as Papineni et al. (2002) define it."""
    pairs = {0: (CAT, CAT), 1: ("a dog lay under the tree", "the dog lay by a tree")}
    corpus = Tally.of("bleu", "bleu", pairs).value
    precisions = [(6 + 5) / 12, (5 + 1) / 10, 4 / 8, 3 / 6]
    assert corpus == pytest.approx(float(np.prod(precisions)) ** 0.25)


def test_a_rate_weighs_documents_by_their_words() -> None:
    tally = Tally.of("wer", "wer", {0: ("a b c d", "a b c d"), 1: ("x", "y")})
    assert tally.value == pytest.approx(1 / 5)
    assert len(tally) == 2


def test_means_are_weighted() -> None:
    assert Tally.of("loss", "mean", {0: (2.0, 30), 1: (4.0, 10)}).value == pytest.approx(2.5)


def test_shares_have_wilsons_interval() -> None:
    tally = Tally.of("right", "share", dict.fromkeys(range(20), (False,)))
    assert tally.value == 0
    assert tally.interval() == pytest.approx((0.0, 0.1611), abs=1e-4)


def test_the_interval_of_a_mean_is_that_of_the_normal_distribution() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 400)
    tally = Tally.of("mean", "mean", {i: (value, 1.0) for i, value in enumerate(values)})
    half = 1.96 * values.std() / 20
    assert tally.interval() == pytest.approx((values.mean() - half, values.mean() + half), abs=0.04)
    assert tally.interval() == tally.interval()
    assert tally.interval(seed=1) != tally.interval()


def test_one_document_has_no_spread() -> None:
    assert Tally.of("mean", "mean", {3: (2.0, 4)}).interval() == (2.0, 2.0)


def test_no_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="figure: no documents to measure"):
        Tally.of("figure", "mean", {})


@settings(max_examples=20)
@given(owners=st.lists(st.integers(0, 2), min_size=1, max_size=30))
def test_ranks_add_up_to_one(owners: list[int]) -> None:
    """Whoever measured a document; ranks without any leave nothing out."""
    scored = {number: (float(number % 7), 1.0 + number % 3) for number in range(len(owners))}
    alone = Tally.of("loss", "mean", scored)
    parts = [
        [Tally.of("loss", "mean", mine)]
        for rank in range(3)
        if (mine := {number: pair for number, pair in scored.items() if owners[number] == rank})
    ]
    (together,) = merged(parts)
    assert np.array_equal(together.numbers, alone.numbers)
    assert np.array_equal(together.states, alone.states)


def test_a_document_that_two_ranks_measured_is_refused() -> None:
    tally = Tally.of("loss", "mean", {4: (1.0, 1.0)})
    with pytest.raises(ValueError, match="loss: document 4 was measured twice"):
        merged([[tally], [tally]])
