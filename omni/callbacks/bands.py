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


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far a kind of figure may rise; both are factors."""

    jump: float
    """Above the median of the window."""
    growth: float
    """Of the window's median itself, above the lowest that it has been."""


@dataclass(frozen=True, kw_only=True)
class BandConfig:
    """What is taken for normal."""

    window: int = 32
    """Looks whose median and spread make the band."""
    deviations: float = 6.0
    """The band reaches at least so many standard deviations (by the median absolute deviation) of the window."""
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
    """The band's upper end."""
    median: float
    """Of the window."""


class Band:
    """Judges the figures of one series, one after another."""

    def __init__(self, config: BandConfig, limits: Limits) -> None:
        self.config, self.limits = config, limits
        self.recent: deque[float] = deque(maxlen=config.window)
        self.lowest = math.inf
        self.judged = False
        """Whether the run has settled."""
        self.changed = 0
        """Looks in a row that speak against ``alarmed``."""
        self.alarmed = False

    def judge(self, value: float, step: int) -> Excursion | None:
        """The excursion where an episode begins; none while it lasts. What is not finite is outside at once."""
        if not math.isfinite(value):
            begins, self.alarmed, self.changed = not self.alarmed, True, 0
            return Excursion(value, self.limit, self.median) if begins else None
        limit, median = self.limit, self.median
        outside = self.judged and value > limit
        self.recent.append(math.log(value))
        self.judged = step >= self.config.settle_steps and 2 * len(self.recent) >= self.config.window
        if self.judged:
            self.lowest = min(self.lowest, statistics.median(self.recent))
        self.changed = self.changed + 1 if outside != self.alarmed else 0
        if self.changed < self.config.patience:
            return None
        self.alarmed, self.changed = outside, 0
        return Excursion(value, limit, median) if outside else None

    @property
    def median(self) -> float:
        """Of the window; nan before the first figure."""
        return math.exp(statistics.median(self.recent)) if self.recent else math.nan

    @property
    def limit(self) -> float:
        """Upper end of the band for the next figure; nan before the first."""
        if not self.recent:
            return math.nan
        centre = statistics.median(self.recent)
        spread = MAD_TO_SIGMA * statistics.median(abs(y - centre) for y in self.recent)
        wide = self.config.deviations * spread
        near = centre + max(math.log(self.limits.jump), wide)
        far = self.lowest + max(math.log(self.limits.growth), wide)
        return math.exp(min(near, far))

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        kept = ("lowest", "judged", "changed", "alarmed")
        return {"recent": list(self.recent)} | {name: getattr(self, name) for name in kept}

    def load(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        for name, value in state.items():
            setattr(self, name, deque(value, maxlen=self.config.window) if name == "recent" else value)
