"""Weights of the sources: from their sizes or explicit, and from which step on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from omni.datamodules.stream.weights import MixtureConfig, Schedule

SIZES = {"web": 900, "books": 100}


@pytest.mark.parametrize(
    ("temperature", "expected"), [(1.0, [0.9, 0.1]), (2.0, [0.75, 0.25]), (1e9, [0.5, 0.5])]
)
def test_temperature(temperature: float, expected: list[float]) -> None:
    schedule = Schedule(MixtureConfig(temperature=temperature), SIZES)
    np.testing.assert_allclose(schedule.share(0), expected)
    assert [schedule.phase(step) for step in (0, 10**9)] == [0, 0]
    assert schedule.end(0) is None


def test_weights_by_step() -> None:
    """Shares are in the order of the sources, whatever the order of the names."""
    weights = {0: {"books": 1.0, "web": 3.0}, 10: {"web": 0.0, "books": 2.0}}
    schedule = Schedule(MixtureConfig(weights=weights), SIZES)
    assert [schedule.share(phase).tolist() for phase in (0, 1)] == [[0.75, 0.25], [0.0, 1.0]]
    assert [schedule.phase(step) for step in (0, 9, 10, 11)] == [0, 0, 1, 1]
    assert [schedule.end(phase) for phase in (0, 1)] == [10, None]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": 0.0}, r"data\.plan\.mixture\.temperature must be above 0, got 0\.0"),
        ({"weights": {5: {"web": 1.0}}}, r"must begin at step 0, got the steps \[5\]"),
        ({"weights": {0: {"web": -1.0}}}, r"weights\.0\.web must be a number of at least 0, got -1\.0"),
        ({"weights": {0: {"web": float("nan")}}}, r"weights\.0\.web must be a number"),
        ({"weights": {0: {"web": 0.0, "books": 0.0}}}, r"at least one source must weigh more than 0"),
        ({"weights": {0: {"web": 1.0, "book": 1.0}}}, r"unknown source 'book'.*did you mean 'books'\?"),
        ({"weights": {0: {"web": 1.0}}}, r"weights\.0: no weight for \['books'\]; 0 leaves a source out"),
    ],
)
def test_bad_settings_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule(MixtureConfig(**settings), SIZES)
