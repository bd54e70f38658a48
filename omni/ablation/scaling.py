"""How a loss falls with training FLOPs: a power law with an interval for its exponent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

FEWEST_SIZES = 3


@dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """loss = coefficient * FLOPs ** -exponent."""

    coefficient: float
    exponent: float
    low: float
    high: float
    """95 % interval of the exponent, from the scatter of the runs round the line."""
    points: int

    def at(self, flops: float) -> float:
        """The loss that it predicts."""
        return float(self.coefficient * flops**-self.exponent)


def fit_power_law(flops: Sequence[float], losses: Sequence[float]) -> PowerLaw | None:
    """A straight line through the logarithms, by least squares (``scipy.stats.linregress``).

    None where there are fewer than three sizes or a figure isn't positive. There is no constant for the loss that no
    compute removes: few sizes over less than a decade can't tell it from a smaller exponent.
    """
    if len(set(flops)) < FEWEST_SIZES or min(flops) <= 0 or min(losses) <= 0:
        return None
    line = stats.linregress(np.log(flops), np.log(losses))
    half = float(stats.t.ppf(0.975, len(flops) - 2) * line.stderr)
    exponent = -float(line.slope)
    return PowerLaw(
        coefficient=float(np.exp(line.intercept)),
        exponent=exponent,
        low=exponent - half,
        high=exponent + half,
        points=len(flops),
    )
