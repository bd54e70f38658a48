"""The heatmap of lengths and depths."""

from __future__ import annotations

from pathlib import Path

from omni.cli.demo.report.drawing import new_figure, write_png
from omni.evaluation.needle import NeedleTable


def draw_heatmap(table: NeedleTable, title: str, path: Path) -> None:
    """Draw the shares of needles found, with the numbers in the cells.

    Raises:
        ImportError: matplotlib isn't installed.
    """
    lengths, depths = table.lengths, table.depths
    figure = new_figure(2.0 + 1.0 * len(lengths), 1.4 + 0.4 * len(depths))
    axes = figure.subplots()
    shares = [[table.cell(length, depth).share for length in lengths] for depth in depths]
    image = axes.imshow(shares, vmin=0, vmax=1, cmap="RdYlGn", aspect="auto")
    for row, depth in enumerate(depths):
        for column, length in enumerate(lengths):
            cell = table.cell(length, depth)
            axes.text(column, row, f"{cell.found}/{cell.trials}", ha="center", va="center")
    axes.set_xticks(range(len(lengths)), [f"{length:,}" for length in lengths])
    axes.set_yticks(range(len(depths)), [f"{depth:.0%}" for depth in depths])
    axes.set(xlabel="positions", ylabel="depth", title=title)
    figure.colorbar(image, ax=axes, label="share found")
    write_png(figure, path)
