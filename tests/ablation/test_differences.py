"""Paired differences: a case worked by hand, closed forms, coverage, and what the sentence says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from omni.ablation.differences import Difference, Scores, paired_difference, stretch
from omni.ablation.sentences import reading

Z, T1 = 1.959964, 12.706205
"""97.5 % points of the normal, and of Student's t with one degree of freedom."""


def scores(values: list[list[float]], counts: list[list[float]] | None = None) -> Scores:
    """Sums of seeds x examples; each example counts once unless ``counts`` says otherwise."""
    sums = np.array(values, float)
    return Scores(sums, np.ones_like(sums) if counts is None else np.array(counts, float))


def test_a_case_worked_by_hand() -> None:
    """Both seeds differ by [1, 0] on the two examples.

    A resample has the first example twice (1/4: difference 1), each once (1/2: 0.5), or the second twice (1/4: 0).
    Stretched by sqrt(2 / 1) * 12.706 / 1.960 = 9.168 round 0.5 the ends are 0.5 -+ 0.5 * 9.168.
    """
    found = paired_difference(scores([[1, 0], [1, 1]]), scores([[0, 0], [0, 1]]))
    assert found.value == 0.5
    assert found.by_seed == (0.5, 0.5)
    assert stretch(2) == pytest.approx(np.sqrt(2) * T1 / Z, rel=1e-5)
    assert (found.low, found.high) == pytest.approx((0.5 - 0.5 * 9.168, 0.5 + 0.5 * 9.168), abs=1e-3)
    assert found.holds_zero


def test_seeds_that_disagree_widen_the_interval_by_hand() -> None:
    """One example; the seeds differ by 0 and 1. Resamples of seeds: 0, 0.5, 0.5, 1, stretched as above."""
    found = paired_difference(scores([[0], [1]]), scores([[0], [0]]))
    assert (found.value, found.seeds, found.examples) == (0.5, 2, 1)
    assert (found.low, found.high) == pytest.approx((0.5 - 0.5 * 9.168, 0.5 + 0.5 * 9.168), abs=1e-3)


def test_a_figure_is_a_ratio_of_sums() -> None:
    """Two words wrong of two, none of eight: an error rate of 0.2, not the 0.5 of the mean over examples."""
    first = scores([[2, 0]], [[2, 8]])
    assert first.value == pytest.approx(0.2)
    assert paired_difference(first, scores([[0, 0]], [[2, 8]])).value == pytest.approx(0.2)


def test_with_one_seed_and_many_examples_it_is_the_usual_interval() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(0.3, 1.0, (1, 400))
    found = paired_difference(Scores(values, np.ones_like(values)), scores([[0.0] * 400]), resamples=4000)
    half = stats.t.ppf(0.975, 399) * values.std(ddof=1) / np.sqrt(400)
    assert found.value == pytest.approx(values.mean())
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.06)


def study(rng: np.random.Generator, planted: float, seeds: int, examples: int) -> Difference:
    """Two variants whose difference scatters over seeds and examples round ``planted``."""
    hard = rng.normal(0, 2.0, examples)
    of_seed = rng.normal(planted, 0.3, (seeds, 1))
    second = hard + rng.normal(0, 0.5, (seeds, examples))
    first = hard + of_seed + rng.normal(0, 0.5, (seeds, examples))
    ones = np.ones((seeds, examples))
    return paired_difference(Scores(first, ones), Scores(second, ones), resamples=200)


@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_cover_a_null_difference_about_as_often_as_they_say(seeds: int) -> None:
    rng = np.random.default_rng(seeds)
    held = np.mean([study(rng, 0.0, seeds, 40).holds_zero for _ in range(200)])
    assert 0.90 <= held <= 0.995


def test_a_planted_difference_is_found_though_examples_scatter_more() -> None:
    """Examples scatter by 2, and the difference is 1.5: pairing takes their scatter out."""
    rng = np.random.default_rng(1)
    found = [study(rng, 1.5, 3, 40) for _ in range(100)]
    assert np.mean([not one.holds_zero and one.low > 0 for one in found]) >= 0.85
    assert np.mean([one.low <= 1.5 <= one.high for one in found]) >= 0.88


@settings(deadline=None, max_examples=25)
@given(shift=st.floats(-100, 100), scale=st.floats(0.1, 10), seed=st.integers(0, 100))
def test_a_shift_moves_and_a_scale_stretches_the_interval(shift: float, scale: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b, ones = rng.normal(size=(3, 10)), rng.normal(size=(3, 10)), np.ones((3, 10))
    plain = paired_difference(Scores(a, ones), Scores(b, ones), 200)
    moved = paired_difference(Scores(scale * a + shift, ones), Scores(scale * b, ones), 200)
    ends = [scale * end + shift for end in (plain.low, plain.value, plain.high)]
    assert [moved.low, moved.value, moved.high] == pytest.approx(ends, abs=1e-6)


def test_variants_that_score_the_same_differ_by_nothing() -> None:
    one = scores([[1, 0, 1], [0, 0, 1]])
    found = paired_difference(one, one)
    assert (found.value, found.low, found.high, found.holds_zero) == (0, 0, 0, True)


def test_scores_that_are_not_paired_are_refused() -> None:
    with pytest.raises(ValueError, match=r"not paired|aren't paired: \(1, 2\) and \(1, 3\)"):
        paired_difference(scores([[1, 0]]), scores([[1, 0, 0]]))


def difference(value: float, low: float, high: float, seeds: int = 3) -> Difference:
    return Difference(value=value, low=low, high=high, seeds=seeds, examples=40, by_seed=(value,) * seeds)


@pytest.mark.parametrize(
    ("figure", "found", "said"),
    [
        (
            "all_text_loss",
            difference(-0.5, -0.7, -0.3),
            "new is ahead of old on all_text_loss: new less old is \u22120.5 nats (95 % interval \u22120.7 to "
            "\u22120.3; 3 seeds, 40 examples).",
        ),
        (
            "image_to_text_exact",
            difference(-0.1, -0.2, -0.05),
            "old is ahead of new on image_to_text_exact: new less old is \u221210.0 points (95 % interval \u221220.0 "
            "to \u22125.0; 3 seeds, 40 examples).",
        ),
        (
            "speaker_exact",
            difference(0.02, -0.01, 0.05),
            "These runs don't show which of new and old is ahead on speaker_exact: +2.0 points (95 % interval "
            "\u22121.0 to +5.0; 3 seeds, 40 examples).",
        ),
    ],
)
def test_a_plain_sentence_names_who_is_ahead_only_where_zero_is_outside(
    figure: str, found: Difference, said: str
) -> None:
    assert reading(figure, "new", "old", found) == said


def test_one_seed_is_said_to_be_one() -> None:
    assert reading("x_exact", "new", "old", difference(0.1, 0.05, 0.2, 1)).endswith(
        "1 seed, 40 examples). With one seed this says nothing about other seeds."
    )
