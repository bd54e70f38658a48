"""Power laws: an exact one is found, scatter widens the interval, two sizes are too few."""

from __future__ import annotations

import numpy as np
import pytest

from omni.ablation.scaling import fit_power_law

FLOPS = [1e12, 4e12, 1.6e13, 6.4e13]


def test_an_exact_law_is_found() -> None:
    law = fit_power_law(FLOPS, [20 * x**-0.06 for x in FLOPS])
    assert law is not None
    assert (law.coefficient, law.exponent) == pytest.approx((20, 0.06))
    assert (law.low, law.high) == pytest.approx((0.06, 0.06), abs=1e-6)
    assert law.at(1e14) == pytest.approx(20 * 1e14**-0.06)


def test_the_interval_covers_the_exponent_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        losses = [20 * x**-0.06 * np.exp(rng.normal(0, 0.02)) for x in FLOPS * 3]
        law = fit_power_law(FLOPS * 3, losses)
        assert law is not None
        covered += law.low <= 0.06 <= law.high
    assert 0.9 <= covered / 200 <= 0.99


def test_two_sizes_are_too_few() -> None:
    assert fit_power_law([1e12, 1e12, 2e12], [3.0, 3.1, 2.9]) is None
