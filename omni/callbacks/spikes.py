"""When a figure of a step is a spike: more standard deviations above its recent mean than chance has."""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

import numpy as np

LEAST = 20
"""Figures without which nothing is judged, however short the window."""


class Spike(NamedTuple):
    """A figure that is out of range."""

    value: float
    limit: float
    """What it may be at most."""


class SpikeWindow:
    """Judges a series, one step after another, as OLMo-core's optimizers that skip steps do.

    A figure is judged by mean and standard deviation of up to ``window`` figures before it, once there are half as
    many. Spikes enter the window too: a level that stays is normal after a few steps. What isn't finite is always
    out of range, and never enters. Unlike there, figures far *below* the mean are no spikes: steps with few targets
    have small losses.
    """

    def __init__(self, window: int, deviations: float) -> None:
        """
        Args:
            window: figures that a figure is compared with.
            deviations: standard deviations above the mean that are allowed; infinite for finite figures of any size.
        """
        self.deviations = deviations
        self.least = max(LEAST, window // 2)
        self.recent: deque[float] = deque(maxlen=max(window, self.least))

    @property
    def limit(self) -> float:
        """What the next figure may be at most."""
        if len(self.recent) < self.least or math.isinf(self.deviations):
            return math.inf
        figures = np.array(self.recent)
        return float(figures.mean() + self.deviations * figures.std(ddof=1))

    def judge(self, value: float) -> Spike | None:
        """The spike, where the figure is one."""
        if not math.isfinite(value):
            return Spike(value, self.limit)
        limit = self.limit
        self.recent.append(value)
        return Spike(value, limit) if value > limit else None
