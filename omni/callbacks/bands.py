"""The band that a positive figure stays in while all is well, from its own past.

The band is one-sided. What diverges grows (Chameleon, arXiv 2405.09818, section 2.3: output norms that grow without
bound foretell a diverging loss thousands of steps ahead); falling is what losses and gradients are trained to do,
and a collapse shows in a loss. Figures are judged by their logarithm: factors mean the same at any size.
"""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

MAD_TO_SIGMA = 1.4826
"""Standard deviation of a normal variable over its median absolute deviation."""
ABOVE_ALL = 1.25
"""What has left the band is also so many times all figures of the window: rare kinds of batches are in there."""
WIDEST = 10.0
"""Factor of the median that deviations can widen the band to: a figure near 0 scatters over many sizes."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far a kind of figure may rise; both are factors."""

    jump: float
    """Of a figure above the median of the window."""
    growth: float
    """Of the window's median above the lowest that it has been."""


@dataclass(frozen=True, kw_only=True)
class BandConfig:
    """What is taken for normal."""

    window: int = 32
    """Looks whose median and spread make the band."""
    deviations: float = 6.0
    """The band reaches at least so many standard deviations (by the median absolute deviation) above the median."""
    patience: int = 2
    """Looks in a row outside the band that make an alarm, and inside that end it. A single odd batch is none."""
    settle_steps: int = 1000
    """Steps before the first alarm (and half a window of looks): a run that has just begun moves fast."""
    loss: Limits = field(default_factory=lambda: Limits(jump=1.5, growth=1.5))
    """Of losses."""
    norm: Limits = field(default_factory=lambda: Limits(jump=2.0, growth=10.0))
    """Of hidden and logit norms."""
    gradient: Limits = field(default_factory=lambda: Limits(jump=4.0, growth=10.0))
    """Of gradient norms."""

    def __post_init__(self) -> None:
        for name, least in (("window", 4), ("deviations", 0), ("patience", 1), ("settle_steps", 0)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"drift_alarms.band.{name} must be at least {least}, got {getattr(self, name)}"
                )
        for name in ("loss", "norm", "gradient"):
            limits = getattr(self, name)
            if min(limits.jump, limits.growth) <= 1:
                raise ValueError(f"drift_alarms.band.{name} must be factors above 1, got {limits}")


class Excursion(NamedTuple):
    """A figure has left its band."""

    value: float
    limit: float
    """What it may be at most."""
    median: float
    """Of the window before it."""
    slow: bool = False
    """Whether it is the median that has grown: ``value`` is the median then, and ``limit`` what that may be."""


class Band:
    """Judges the figures of one series, one after another."""

    def __init__(self, config: BandConfig, limits: Limits) -> None:
        self.config, self.limits = config, limits
        self.recent: deque[float] = deque(maxlen=config.window)
        """Logarithms."""
        self.lowest = math.inf
        """Of the medians since the run has settled."""
        self.judged = False
        """Whether the run has settled."""
        self.changed = 0
        """Looks in a row that speak against ``alarmed``."""
        self.alarmed = False

    def judge(self, value: float, step: int) -> Excursion | None:
        """The excursion where an episode begins; none while it lasts. What is not finite is outside at once."""
        before = math.exp(statistics.median(self.recent)) if self.recent else math.nan
        if not math.isfinite(value):
            begins, self.alarmed, self.changed = not self.alarmed, True, 0
            return Excursion(value, self.limit, before) if begins else None
        limit, wide = self.limit, self._wide()
        self.recent.append(math.log(value))
        median = statistics.median(self.recent)
        growth = self.lowest + max(math.log(self.limits.growth), wide)
        jumped, slow = value > limit, median > growth
        outside = self.judged and (jumped or slow)
        self.judged = step >= self.config.settle_steps and 2 * len(self.recent) >= self.config.window
        if self.judged:
            self.lowest = min(self.lowest, median)
        self.changed = self.changed + 1 if outside != self.alarmed else 0
        if self.changed < self.config.patience:
            return None
        self.alarmed, self.changed = outside, 0
        if not outside:
            return None
        return (
            Excursion(value, limit, before)
            if jumped
            else Excursion(math.exp(median), math.exp(growth), before, True)
        )

    @property
    def limit(self) -> float:
        """Upper end of the band for the next figure; nan before the first."""
        if not self.recent:
            return math.nan
        near = statistics.median(self.recent) + max(math.log(self.limits.jump), self._wide())
        if self.alarmed:
            return math.exp(near)
        begun = list(self.recent)[: len(self.recent) - self.changed]
        return math.exp(max([near, *(y + math.log(ABOVE_ALL) for y in begun)]))

    def _wide(self) -> float:
        if not self.recent:
            return 0.0
        centre = statistics.median(self.recent)
        sigma = MAD_TO_SIGMA * statistics.median(abs(y - centre) for y in self.recent)
        return min(self.config.deviations * sigma, math.log(WIDEST))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        kept = ("lowest", "judged", "changed", "alarmed")
        return {"recent": list(self.recent)} | {name: getattr(self, name) for name in kept}

    def load(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        for name, value in state.items():
            setattr(self, name, deque(value, maxlen=self.config.window) if name == "recent" else value)
