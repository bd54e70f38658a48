"""What is a spike, and what isn't."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni.callbacks.spikes import LEAST, SpikeWindow

WINDOW = 40


def judged(figures: list[float], deviations: float = 6.0) -> list[int]:
    """Places of the spikes."""
    window = SpikeWindow(WINDOW, deviations)
    return [place for place, figure in enumerate(figures) if window.judge(figure)]


def steady(n: int, seed: int = 0) -> list[float]:
    """Normal figures around 3 with a standard deviation of 0.1."""
    return (3 + 0.1 * np.random.default_rng(seed).standard_normal(n)).tolist()


def test_the_limit_is_six_sample_deviations_above_the_mean() -> None:
    window, figures = SpikeWindow(WINDOW, 6.0), steady(WINDOW)
    for figure in figures:
        window.judge(figure)
    assert window.limit == pytest.approx(np.mean(figures) + 6 * np.std(figures, ddof=1))
    assert window.judge(window.limit * 0.999) is None
    spike = window.judge(9.0)
    assert spike is not None and spike.value == 9.0 and 3.4 < spike.limit < 4.0


def test_nothing_is_judged_before_half_a_window() -> None:
    assert judged([*steady(LEAST - 1), 100.0]) == []
    assert judged([*steady(LEAST), 100.0]) == [LEAST]


def test_noise_makes_no_spike() -> None:
    assert all(judged(steady(2000, seed)) == [] for seed in range(5))


def test_a_small_figure_is_no_spike() -> None:
    assert judged([*steady(WINDOW), 0.001]) == []


def test_a_level_that_stays_is_normal_after_a_few_steps() -> None:
    places = judged([*steady(WINDOW), *(figure + 5 for figure in steady(WINDOW, seed=1))])
    assert places == list(range(WINDOW, WINDOW + len(places))) and 1 <= len(places) <= 4


@pytest.mark.parametrize("deviations", [6.0, math.inf])
def test_what_is_not_finite_is_out_of_range_at_once_and_leaves_no_trace(deviations: float) -> None:
    figures = steady(60)
    broken = [figure for kept in figures for figure in (math.nan, kept, math.inf)]
    spikes = judged(broken, deviations)
    assert spikes == [place for place in range(len(broken)) if place % 3 != 1]


def test_without_deviations_finite_figures_pass() -> None:
    assert judged([*steady(WINDOW), 1e9], deviations=math.inf) == []


@given(st.lists(st.floats(-1e6, 1e6), min_size=LEAST, max_size=60), st.floats(0.01, 100))
def test_units_do_not_matter(figures: list[float], unit: float) -> None:
    """Up to rounding, so figures near the limit are left out."""
    one, other = SpikeWindow(WINDOW, 6.0), SpikeWindow(WINDOW, 6.0)
    for figure in figures:
        limit = one.limit
        verdicts = one.judge(figure), other.judge(figure * unit)
        if not math.isclose(figure, limit, rel_tol=1e-6, abs_tol=1e-6):
            assert (verdicts[0] is None) == (verdicts[1] is None)
