"""Losses of all runs over each other, and how they scale with training FLOPs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omni.ablation.outcomes import POOLED
from omni.ablation.results import Fit, RunResult, StudyResults
from omni.cli.ablate.gather import over_flops, read_curves
from omni.cli.ablate.report.look import PAGE_COLOURS, colour_of, legend, stroke_of
from omni.cli.demo.report.drawing import INK, inline_svg, new_figure
from omni.cli.demo.report.losses import STAGES, UNITS, Curve, Stage
from omni.cli.demo.report.markup import Markup, join, tag
from omni.modality import MODALITIES, Modality

_TOP_PERCENTILE = 98.0
_TITLES: dict[Stage, str] = {"train": "training", "val": "held out"}


def loss_curves(results: StudyResults) -> Markup:
    """A plot per modality of training and held-out loss, all runs of the largest size over training FLOPs."""
    size = results.study.sizes[-1].name
    runs = [run for run in results.runs if run.size == size]
    curves = {run.name: read_curves(run) for run in runs}
    plots = []
    for stage in reversed(STAGES):
        for modality in MODALITIES:
            drawn = [
                (run, over_flops(curves[run.name][stage, modality.name], run))
                for run in runs
                if (stage, modality.name) in curves[run.name]
            ]
            if drawn:
                plots.append(tag("div", _loss_plot(results, modality, stage, drawn), class_="card"))
    if not plots:
        return tag("p", "No losses were logged.", class_="note")
    note = (
        "A line per run over training FLOPs, so that what stands above each other has cost the same; seeds of a "
        "variant have its colour. Training losses are moving averages of what the model read with noise; held-out "
        "data is clean."
    )
    return join(
        tag("p", note, class_="note"), legend(results.study), tag("div", *plots, class_="cards plots")
    )


def _loss_plot(
    results: StudyResults, modality: Modality, stage: Stage, drawn: Sequence[tuple[RunResult, Curve]]
) -> Markup:
    figure = new_figure(4.2, 2.9)
    axes = figure.subplots()
    heights = []
    for run, curve in drawn:
        values = curve.smoothed() if stage == "train" else curve.values
        axes.plot(
            curve.steps,
            values,
            stroke_of(results.study, run.variant),
            color=colour_of(results.study, run.variant),
            linewidth=1.3,
            alpha=0.85,
            marker="o" if len(values) < 3 else None,
            markersize=3,
        )
        heights.append(values[np.isfinite(values)])
    _dress(axes, f"{modality.name}, {_TITLES[stage]}", "training FLOPs", UNITS[modality.name])
    values = np.concatenate(heights)
    if len(values):
        low, high = float(values.min()), float(np.percentile(values, _TOP_PERCENTILE))
        axes.set_ylim(low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1))
    description = f"{modality.name} loss, {_TITLES[stage]}, of all variants over training FLOPs"
    return inline_svg(figure, f"loss-{stage}-{modality.name}", description, PAGE_COLOURS)


def scaling_plots(results: StudyResults) -> Markup:
    """Losses against FLOPs on logarithmic axes, with the fitted laws where there are three sizes."""
    plots = []
    for figure in POOLED:
        fits = [fit for fit in results.fits if fit.figure == figure]
        if fits:
            plots.append(tag("div", _scaling_plot(results, figure, fits), _laws(fits), class_="card"))
    if not plots:
        return tag("p", "The study has one size.", class_="note")
    note = (
        "A point per run. Lines are power laws, loss = a · FLOPs^(-b), fitted by least squares to the logarithms where "
        "there are three sizes or more; the interval of b is that of the straight line."
    )
    return join(
        tag("p", note, class_="note"), legend(results.study), tag("div", *plots, class_="cards plots")
    )


def _scaling_plot(results: StudyResults, figure: str, fits: Sequence[Fit]) -> Markup:
    drawing = new_figure(4.2, 2.9)
    axes = drawing.subplots()
    for fit in fits:
        flops, losses = np.array(fit.points).T
        colour = colour_of(results.study, fit.variant)
        axes.plot(flops, losses, "o", color=colour, markersize=4)
        if fit.law is not None:
            ends = np.geomspace(flops.min(), flops.max(), 20)
            law = [fit.law.at(end) for end in ends]
            axes.plot(ends, law, stroke_of(results.study, fit.variant), color=colour, linewidth=1.3)
    axes.set_xscale("log")
    axes.set_yscale("log")
    _dress(axes, figure, "training FLOPs", "loss")
    return inline_svg(drawing, f"scaling-{figure}", f"{figure} over training FLOPs", PAGE_COLOURS)


def _laws(fits: Sequence[Fit]) -> Markup:
    lines = []
    for fit in fits:
        said = f"{fit.variant}: too few sizes for a fit."
        if fit.law is not None:
            interval = f"{fit.law.low:.3f} to {fit.law.high:.3f}"
            said = (
                f"{fit.variant}: b = {fit.law.exponent:.3f} (95 % interval {interval}, {fit.law.points} runs)"
            )
        lines.append(tag("p", said, class_="note"))
    return join(*lines)


def _dress(axes, title: str, below: str, beside: str) -> None:  # type: ignore[no-untyped-def]
    axes.set_title(title, color=INK, fontsize=12, fontweight="bold", loc="left")
    axes.set_xlabel(below, color=INK)
    axes.set_ylabel(beside, color=INK)
    axes.tick_params(colors=INK, which="both")
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(INK)
    axes.grid(color=INK, alpha=0.15, linewidth=0.6)
