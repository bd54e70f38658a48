"""Wilson's interval, against published values."""

from __future__ import annotations

import pytest

from omni.evaluation.metrics.intervals import share_interval


def test_known_intervals() -> None:
    assert share_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)  # Newcombe 1998, table I
    assert share_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


@pytest.mark.parametrize(("hits", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_impossible_shares_are_refused(hits: int, trials: int) -> None:
    with pytest.raises(ValueError, match=f"{hits} hits of {trials} trials"):
        share_interval(hits, trials)
