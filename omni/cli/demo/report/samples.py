"""The picture of the result for the documentation: what the model drew, said and read, in one PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import UInt8

from omni.cli.demo.report.drawing import COLOURS, INK, new_figure, write_png
from omni.cli.demo.report.results import DemoResults
from omni.evaluation.results import Example
from omni.evaluation.spectrum import power_spectrum
from omni.modality import AUDIO, IMAGE, TEXT
from omni.sequence import Audio, Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

GENERATED_ROWS, REAL_ROWS, CHARTS = 4, 2, 4
_WRONG = "#c0262d"
_STEP, _GAP_ROW = 1.12, 0.45  # distance of neighbours, and between generated and real, in pictures
_WINDOW, _HOP = 0.032, 0.004  # seconds
_RANGE = 60.0  # dB


def samples_figure(results: DemoResults, out: Path, word: str = "seven") -> None:
    """Write a PNG with the first answers of a run, not picked: digits, charts, and the spoken ``word``.

    Raises:
        ValueError: no generated or no held-out clip of ``word``.
    """
    figure = new_figure(12.0, 6.6)
    top, bottom = figure.subfigures(2, 1, squeeze=False, height_ratios=[1.75, 1]).flat
    left, right = top.subfigures(1, 2, squeeze=False, width_ratios=[2, 1]).flat
    _draw_digits(left.subplots(), results)
    _draw_charts(right, results.evaluation.of("chart_to_text")[:CHARTS])
    _draw_speech(bottom, results, word)
    write_png(figure, out)


def _draw_digits(axes: Axes, results: DemoResults) -> None:
    """A column per digit: generated pictures, wrong ones outlined, and real ones under them."""
    drawn = results.evaluation.of("text_to_image")
    for column, (word, real) in enumerate(results.real_digits.items()):
        axes.text(column * _STEP + 0.5, -0.15, word, color=INK, ha="center", va="bottom", fontsize=9)
        asked = [example for example in drawn if example.label == word][:GENERATED_ROWS]
        for row, example in enumerate(asked):
            if isinstance(example.answer, Image):
                _place(axes, example.answer.pixels, column, row * _STEP, example.correct is False)
        for row, pixels in enumerate(real[:REAL_ROWS], GENERATED_ROWS):
            _place(axes, pixels, column, row * _STEP + _GAP_ROW, False)
    bottom = (GENERATED_ROWS + REAL_ROWS) * _STEP + _GAP_ROW
    axes.set(xlim=(-0.1, len(results.real_digits) * _STEP), ylim=(bottom, -0.5), aspect="equal")
    middle = GENERATED_ROWS * _STEP / 2
    axes.text(-0.3, middle, "generated", rotation=90, color=COLOURS[IMAGE], ha="right", va="center")
    middle = bottom - REAL_ROWS * _STEP / 2
    axes.text(-0.3, middle, "real", rotation=90, color=INK, ha="right", va="center")
    axes.set_title(
        "Asked to draw a digit (red: the judge saw another)",
        color=COLOURS[IMAGE],
        fontweight="bold",
        loc="left",
    )
    axes.axis("off")


def _place(axes: Axes, pixels: UInt8[np.ndarray, "_ _ 3"], column: int, top: float, wrong: bool) -> None:
    left = column * _STEP
    axes.imshow(pixels, extent=(left, left + 1, top + 1, top), interpolation="nearest")
    if wrong:
        edge = [left, left + 1, left + 1, left, left], [top, top, top + 1, top + 1, top]
        axes.plot(*edge, color=_WRONG, linewidth=2)


def _draw_charts(figure: SubFigure, examples: Sequence[Example]) -> None:
    figure.suptitle("Asked for a chart's trend", color=COLOURS[TEXT], fontweight="bold")
    for axes, example in zip(figure.subplots(2, CHARTS // 2).flat, examples, strict=False):
        (chart,) = (segment for segment in example.prompt if isinstance(segment, Image))
        axes.imshow(chart.pixels)
        axes.set_title(
            f"“{example.answer_text}”", color=_WRONG if example.correct is False else INK, fontsize=11
        )
    for axes in figure.axes:
        axes.axis("off")


def _draw_speech(figure: SubFigure, results: DemoResults, word: str) -> None:
    """Waveform over spectrogram of a generated and a held-out clip, and of the latter through the codec."""
    spoken = [example for example in results.evaluation.of("text_to_audio") if example.label == word]
    generated = [(e, e.answer) for e in spoken if isinstance(e.answer, Audio) and len(e.answer.waveform)]
    heldout = results.heldout_clips.get(word, ())
    if not generated or not heldout:
        raise ValueError(
            f"{len(generated)} generated and {len(heldout)} held-out clips of {word!r}, expected one of each"
        )
    example, answer = generated[0]
    kind = "synthetic speech" if results.speech_is_synthetic else "recording"
    clips: Mapping[str, Audio] = {
        "generated, and misheard" if example.correct is False else "generated": answer,
        f"held-out {kind}": heldout[0].original,
        "the same after the codec": heldout[0].reconstructed,
    }
    figure.suptitle(f"Asked to say “{word}”", color=COLOURS[AUDIO], fontweight="bold")
    grid = figure.subplots(2, len(clips), height_ratios=[1, 2.2], squeeze=False)
    for column, (title, clip) in enumerate(clips.items()):
        _draw_clip(grid[0, column], grid[1, column], clip)
        grid[0, column].set_title(title, color=COLOURS[AUDIO] if column == 0 else INK, fontsize=10)
        if column == 0:
            grid[1, column].set_ylabel("kHz", color=INK)


def _draw_clip(above: Axes, below: Axes, clip: Audio) -> None:
    above.plot(clip.waveform, color=COLOURS[AUDIO], linewidth=0.5)
    above.margins(x=0)
    above.axis("off")
    window, hop = round(_WINDOW * clip.sample_rate), round(_HOP * clip.sample_rate)
    loudness = 10 * np.log10(power_spectrum(clip.waveform, window, hop, window).T + 1e-10)
    extent = (0, clip.seconds, 0, clip.sample_rate / 2000)
    loudest = float(loudness.max())
    below.imshow(
        loudness,
        extent=extent,
        origin="lower",
        aspect="auto",
        cmap="magma",
        vmin=loudest - _RANGE,
        vmax=loudest,
    )
    below.set_xlabel("seconds", color=INK)
    below.tick_params(colors=INK, labelsize=8)
