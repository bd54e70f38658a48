"""Small line charts, each a function of (seed, index): its series has a known trend, its looks vary.

A series holds heights in the chart, 0 (bottom) to 1 (top), so that a trend is as steep as it looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from jaxtyping import Float, UInt8

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Values = Sequence[int | float] | np.ndarray
Trend = Literal["rising", "falling", "flat", "peak", "valley"]
TRENDS: tuple[Trend, ...] = get_args(Trend)
HELDOUT_START = 1_000_000
"""Charts from this index on are for evaluation."""

_DPI = (50, 72, 100)
_LINES = ("black", "navy", "darkred", "darkgreen", "tab:blue", "tab:red", "tab:purple", "tab:brown")
_PAPERS = ("white", "white", "ivory", "aliceblue", "whitesmoke", "honeydew")
_MARKERS = ("", "", "", "o", "s", "^")
_AXES = ((0, 1), (0, 0), (1, 0))
_BOX = ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0))
_FRAMES = (_AXES, _AXES, _BOX, ())


@dataclass(frozen=True, eq=False)
class Chart:
    """A drawn chart and what it shows."""

    trend: Trend
    index: int
    series: Float[np.ndarray, " points"]
    """Heights of the points, 0 to 1, noise included."""
    pixels: UInt8[np.ndarray, "height width 3"]


def random_series(trend: Trend, rng: np.random.Generator) -> Float[np.ndarray, " points"]:
    """A series of 16 to 60 points with this trend and a little noise.

    Rising and falling series cover 35 to 85 % of the height, and so do both slopes of a peak or valley, with
    their turn in the middle 40 % of the width; a flat one drifts by at most 4 %.
    """
    x = np.linspace(0, 1, int(rng.integers(16, 61)))
    span = rng.uniform(0.35, 0.85)
    noise = rng.normal(0, rng.uniform(0, 0.025), len(x))
    if trend == "flat":
        return np.clip(rng.uniform(0.15, 0.85) + rng.uniform(-0.04, 0.04) * (x - 0.5) + noise, 0, 1)
    base = rng.uniform(0.05, 0.95 - span)
    if trend in ("rising", "falling"):
        shape = _climb(x, rng)
    else:
        turn = rng.uniform(0.3, 0.7)
        left, right = _climb(np.clip(x / turn, 0, 1), rng), _climb(np.clip((1 - x) / (1 - turn), 0, 1), rng)
        shape = np.where(x < turn, left, right)
    upright = trend in ("rising", "peak")
    return np.clip(base + span * (shape if upright else 1 - shape) + noise, 0, 1)


def _climb(x: Float[np.ndarray, " points"], rng: np.random.Generator) -> Float[np.ndarray, " points"]:
    """A monotone curve from (0, 0) to (1, 1): a power or a smooth step."""
    if rng.random() < 0.7:
        return x ** rng.uniform(0.6, 1.7)
    return x * x * (3 - 2 * x)


def draw_chart(seed: int, index: int) -> Chart:
    """The chart with this number; trends take turns.

    Raises:
        ImportError: matplotlib isn't installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("charts need matplotlib: run `pip install -e '.[demo]'`") from error
    trend = TRENDS[index % len(TRENDS)]
    rng = np.random.default_rng([seed, index])
    series = random_series(trend, rng)
    width = int(rng.integers(96, 321))
    height = round(width / rng.uniform(1, 2))
    dpi = int(rng.choice(_DPI))
    figure = Figure(figsize=(width / dpi, height / dpi), dpi=dpi, facecolor=str(rng.choice(_PAPERS)))
    _plot(figure, series, height * 72 / dpi, rng)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Chart(trend, index, series, np.asarray(canvas.buffer_rgba())[..., :3].copy())


class _Plot:
    """Lines and labels at positions 0 to 1 of the chart; matplotlib's own axes take four times as long."""

    def __init__(self, figure: Figure, low: Values, high: Values) -> None:
        self._figure = figure
        self._low, self._high = np.asarray(low), np.asarray(high)

    def line(self, xs: Values, ys: Values, **looks: Any) -> None:
        """Draw a line through these positions."""
        from matplotlib.lines import Line2D

        xs, ys = (self._low + np.stack([xs, ys], axis=-1) * (self._high - self._low)).T
        self._figure.add_artist(Line2D(xs, ys, **looks))

    def label(self, x: float, y: float, text: str, **looks: Any) -> None:
        """Write at this position."""
        x, y = self._low + np.array([x, y]) * (self._high - self._low)
        self._figure.text(x, y, text, **looks)


def _plot(
    figure: Figure, series: Float[np.ndarray, " points"], points: float, rng: np.random.Generator
) -> None:
    """Draw the series with random looks into an empty figure that is ``points`` typographic points high."""
    labelled = bool(rng.random() < 0.5)
    plot = _Plot(
        figure, rng.uniform(*((0.12, 0.2) if labelled else (0.03, 0.1)), 2), rng.uniform(0.93, 0.98, 2)
    )
    ticks = np.linspace(0.05, 0.95, int(rng.integers(2, 6)))
    if rng.random() < 0.4:
        for tick in ticks:
            plot.line([tick, tick], [0, 1], color="lightgrey", linewidth=points * 0.006)
            plot.line([0, 1], [tick, tick], color="lightgrey", linewidth=points * 0.006)
    frame = _FRAMES[int(rng.integers(len(_FRAMES)))]
    if frame:
        plot.line(*zip(*frame, strict=True), color="black", linewidth=points * rng.uniform(0.005, 0.012))
    if labelled:
        numbers = rng.uniform(0, 50) + rng.uniform(5, 100) * ticks
        for i in (0, len(ticks) - 1):
            plot.label(ticks[i], -0.02, str(i), size=points * 0.07, ha="center", va="top")
            plot.label(-0.02, ticks[i], f"{numbers[i]:.0f}", size=points * 0.07, ha="right", va="center")
    plot.line(
        np.linspace(0.02, 0.98, len(series)),
        0.05 + 0.9 * series,
        color=str(rng.choice(_LINES)),
        linewidth=points * rng.uniform(0.025, 0.05),
        linestyle=str(rng.choice(["-", "-", "-", "--"])),
        marker=str(rng.choice(_MARKERS)),
        markersize=points * rng.uniform(0.04, 0.06),
        markevery=int(rng.integers(2, 6)),
    )
