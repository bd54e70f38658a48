"""Plots of losses: one per modality in the report, and several runs over each other for the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from omni.cli.demo.report.drawing import COLOURS, INK, inline_svg, new_figure, write_png
from omni.cli.demo.report.losses import UNITS, Curve, Curves, read_losses
from omni.cli.demo.report.markup import Markup
from omni.modality import MODALITIES, Modality

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_STYLES = ("-", "--", ":", "-.")  # of the runs in one plot
_TOP_PERCENTILE = 99.5  # of the training losses; the few above, at the start, leave the plot


def loss_plot(curves: Curves, modality: Modality) -> Markup:
    """The losses of one modality as SVG: every logged step faint, their moving average, held-out losses."""
    figure = new_figure(4.2, 2.9)
    axes = figure.subplots()
    colour = COLOURS[modality]
    train, val = curves.get(("train", modality.name)), curves.get(("val", modality.name))
    if train is not None:
        axes.plot(train.steps, train.values, color=colour, linewidth=0.7, alpha=0.35)
        axes.plot(train.steps, train.smoothed(), color=colour, linewidth=1.8, label="training")
    if val is not None:
        axes.plot(val.steps, val.values, color=INK, linewidth=0.9, marker="o", markersize=4, label="held out")
    _label(axes, modality, [curve for curve in (train, val) if curve is not None])
    description = f"{modality.name} loss in {UNITS[modality.name]} over the optimizer steps"
    return inline_svg(figure, f"loss-{modality.name}", description)


def loss_figure(csv_paths: Mapping[str, Path], out: Path) -> None:
    """Write a PNG with the curves of several runs over each other, a plot per modality.

    Args:
        csv_paths: ``metrics.csv`` of each run by its label, at most four.
        out: the picture.

    Raises:
        ValueError: no run, too many of them, or a file without losses.
    """
    if not 0 < len(csv_paths) <= len(_STYLES):
        raise ValueError(f"{len(csv_paths)} runs to plot, expected 1 to {len(_STYLES)}: {list(csv_paths)}")
    runs = {label: read_losses(path) for label, path in csv_paths.items()}
    figure = new_figure(4.0 * len(MODALITIES), 3.4)
    for axes, modality in zip(figure.subplots(1, len(MODALITIES)), MODALITIES, strict=True):
        drawn: list[Curve] = []
        for (label, curves), style in zip(runs.items(), _STYLES, strict=False):
            if (train := curves.get(("train", modality.name))) is not None:
                axes.plot(
                    train.steps, train.smoothed(), style, color=COLOURS[modality], linewidth=1.2, label=label
                )
                drawn.append(train)
            if (val := curves.get(("val", modality.name))) is not None:
                axes.plot(val.steps, val.values, style, color=INK, linewidth=0.8, marker="o", markersize=3.5)
                drawn.append(val)
        _label(axes, modality, drawn)
    figure.suptitle("Losses: training (colour, moving average) and held out (dots)", fontsize=11)
    write_png(figure, out)


def _label(axes: Axes, modality: Modality, curves: Sequence[Curve]) -> None:
    """Axes, limits and legend of a loss plot; only what is in the page's ink takes the page's colour."""
    axes.set_title(modality.name, color=COLOURS[modality], fontsize=12, fontweight="bold", loc="left")
    axes.set_xlabel("optimizer steps", color=INK)
    axes.set_ylabel(UNITS[modality.name], color=INK)
    axes.tick_params(colors=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.grid(color=INK, alpha=0.15, linewidth=0.6)
    if not curves:
        axes.text(0.5, 0.5, "nothing logged", color=INK, ha="center", transform=axes.transAxes)
        return
    values = np.concatenate([curve.values for curve in curves])
    finite = values[np.isfinite(values)]
    if len(finite):
        low, high = float(finite.min()), float(np.percentile(finite, _TOP_PERCENTILE))
        axes.set_ylim(low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1))
    axes.legend(frameon=False, labelcolor=INK, fontsize=9)
