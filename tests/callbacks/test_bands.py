"""When a figure has left its band: golden cases, and what holds for any series."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni.callbacks.bands import Band, BandConfig, Limits

CONFIG = BandConfig(window=8, settle_steps=7, patience=2, deviations=8.0)
NORM = Limits(jump=2.0, growth=10.0)
CALM = [1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0, 1.1]


def alarms(values: list[float], config: BandConfig = CONFIG, limits: Limits = NORM) -> list[int]:
    """Places of the figures at which an episode begins."""
    band = Band(config, limits)
    return [place for place, value in enumerate(values) if band.judge(value, place) is not None]


def test_a_figure_outside_for_two_looks_is_one_alarm() -> None:
    assert alarms([*CALM, 5.0, 5.0, 5.0, 5.0]) == [9]


def test_an_odd_batch_is_none() -> None:
    assert alarms([*CALM, 50.0, 1.0, 50.0, 1.0]) == []


def test_falling_is_none() -> None:
    assert alarms([100 * 0.5**place for place in range(40)]) == []


def test_a_run_that_has_just_begun_is_not_judged() -> None:
    assert alarms([1.0, 1.0, 1.0, 1.0, 9.0, 9.0]) == []
    assert alarms([1.0, 1.0, 1.0, 1.0, 9.0, 9.0], replace(CONFIG, settle_steps=0)) == [5]
    assert alarms([1.0, 1.0, 9.0, 9.0], replace(CONFIG, settle_steps=0)) == [], "half a window"


def test_the_alarm_says_value_limit_and_median() -> None:
    """Median absolute deviation of the logarithms 0.05: the band reaches 8 times 0.074, more than a factor 1.5."""
    band = Band(CONFIG, Limits(jump=1.5, growth=10.0))
    for step, y in enumerate((-0.1, -0.05, -0.05, 0.0, 0.0, 0.05, 0.05, 0.1)):
        assert band.judge(math.exp(y), step) is None
    assert band.limit == pytest.approx(math.exp(8 * 1.4826 * 0.05))
    assert band.judge(3.0, 8) is None
    excursion = band.judge(4.0, 9)
    assert excursion is not None
    assert excursion.value == 4.0
    assert excursion.median == pytest.approx(1.0, abs=0.03)


def test_another_episode_is_another_alarm() -> None:
    assert alarms([*CALM, 5.0, 5.0, *CALM, 5.0, 5.0]) == [9, 19]


def test_growth_too_slow_for_the_window_is_an_alarm_in_the_end() -> None:
    """7 % a look stays within a factor 2 of the last eight; ten times the lowest is left after 36."""
    found = alarms([1.07**place for place in range(80)])
    assert len(found) == 1 and 34 <= found[0] <= 44


def test_what_is_not_finite_is_an_alarm_at_once() -> None:
    assert alarms([1.0, math.nan, math.nan, 1.0, 1.0, 1.0, math.inf]) == [1, 6]


@given(st.lists(st.floats(0.8, 1.2), min_size=1, max_size=100))
def test_noise_within_the_factor_never_alarms(values: list[float]) -> None:
    assert alarms(values, limits=Limits(jump=1.6, growth=1.6)) == []


@given(st.lists(st.floats(1e-6, 1e6) | st.just(math.nan), max_size=60), st.integers(0, 60))
def test_a_band_goes_on_from_its_state(values: list[float], cut: int) -> None:
    whole, first, second = (Band(CONFIG, NORM) for _ in range(3))
    expected = [whole.judge(value, step) is not None for step, value in enumerate(values)]
    begun = [first.judge(value, step) is not None for step, value in enumerate(values[:cut])]
    second.load(json.loads(json.dumps(first.state())))
    ended = [second.judge(value, cut + step) is not None for step, value in enumerate(values[cut:])]
    assert begun + ended == expected
    assert second.state() == whole.state()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"window": 2}, r"drift_alarms\.band\.window must be at least 4, got 2"),
        ({"patience": 0}, r"drift_alarms\.band\.patience must be at least 1, got 0"),
        ({"loss": Limits(jump=1.0, growth=2.0)}, r"band\.loss must be factors above 1, got .*jump=1\.0"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        BandConfig(**settings)
