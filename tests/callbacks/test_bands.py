"""When a figure has left its band: golden cases, and what holds for any series."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
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
    """7 % a look stays within a factor 2 of the last eight; their median is ten times its lowest 35 looks later."""
    assert alarms([1.07**place for place in range(80)]) == [7 + 36]


def test_a_rare_kind_of_batch_is_none() -> None:
    """One look in six is ten times the others, now and then two in a row: nothing that the window hasn't seen."""
    rare = [
        10.0 if place % 6 == 0 or place in (31, 50, 51) else 1.0 + 0.01 * (place % 3) for place in range(80)
    ]
    assert alarms(rare) == []
    assert alarms([*rare, 13.0, 13.0]) == [81]


def test_what_is_not_finite_is_an_alarm_at_once() -> None:
    assert alarms([1.0, math.nan, math.nan, 1.0, 1.0, 1.0, math.inf]) == [1, 6]


@given(st.lists(st.floats(0.8, 1.2), min_size=1, max_size=100))
def test_noise_within_the_factor_never_alarms(values: list[float]) -> None:
    assert alarms(values, limits=Limits(jump=1.6, growth=1.6)) == []


@settings(suppress_health_check=[HealthCheck.too_slow])
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


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("every", [10, 50])
def test_losses_of_whole_demos_stay_in_their_bands(seed: int, every: int) -> None:
    """6,300 steps each, with steps of prose among those of one-word answers, and text losses down to 0.001."""
    path = Path(__file__).parents[2] / "docs" / "reference" / f"demo_losses_seed{seed}.csv"
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["stage"] == "train"]
    config = BandConfig()
    bands = {name: Band(config, config.loss) for name in ("text", "image", "audio")}
    for row in rows:
        if (step := int(row["step"]) + 1) % every == 0:
            assert bands[row["modality"]].judge(float(row["loss"]), step) is None, row
    assert all(band.judged for band in bands.values())
