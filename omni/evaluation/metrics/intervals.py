"""How sure a share is."""

from __future__ import annotations

from typing import NamedTuple

from scipy.stats import binomtest


class Interval(NamedTuple):
    """A 95 % confidence interval."""

    low: float
    high: float


def share_interval(hits: int, trials: int) -> Interval:
    """Wilson's interval for the share ``hits / trials``.

    Raises:
        ValueError: no trials, or more hits than trials.
    """
    if not 0 <= hits <= trials or trials == 0:
        raise ValueError(f"{hits} hits of {trials} trials is no share")
    found = binomtest(hits, trials).proportion_ci(method="wilson")
    return Interval(float(found.low), float(found.high))
