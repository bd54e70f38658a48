"""Heat maps as small pictures for TensorBoard, drawn with Pillow in a few milliseconds."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

WIDEST, CELL, LETTERS, LINE = 640, 16, 30, 16
"""Pixels: of a panel's cells together, of a cell at most, left of the cells, of a line of text."""
INK, EMPTY = (31, 35, 41), (243, 244, 246)

Colour = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Panel:
    """One map: the stronger the colour, the larger the share, up to the panel's largest."""

    title: str
    shares: Float[np.ndarray, "rows columns"]
    colour: Colour
    row_names: Seq[str]

    @property
    def cell(self) -> int:
        """Pixels of a cell's side; fewer where there are many."""
        return max(3, min(CELL, WIDEST // max(self.shares.shape)))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height with titles and margins."""
        rows, columns = self.shares.shape
        return max(LETTERS + columns * self.cell, 160) + LINE, rows * self.cell + 3 * LINE


def heat_image(rows: Seq[Seq[Panel]]) -> UInt8[np.ndarray, "height width 3"]:
    """Rows of panels below each other; columns are numbered from 1."""
    heights = [max(panel.size[1] for panel in row) for row in rows]
    width = max(sum(panel.size[0] for panel in row) for row in rows)
    picture = Image.new("RGB", (width, sum(heights)), "white")
    y = 0
    for row, height in zip(rows, heights, strict=True):
        x = 0
        for panel in row:
            _draw(picture, panel, x, y)
            x += panel.size[0]
        y += height
    return np.asarray(picture)


def _draw(picture: Image.Image, panel: Panel, x: int, y: int) -> None:
    draw, font, cell = ImageDraw.Draw(picture), ImageFont.load_default(), panel.cell
    most = float(panel.shares.max())
    strength = (panel.shares / max(most, 1e-9))[..., None]
    cells = (np.array(EMPTY) * (1 - strength) + np.array(panel.colour) * strength).round().astype(np.uint8)
    pixels = cells.repeat(cell, 0).repeat(cell, 1)
    if cell > 6:
        pixels[cell - 1 :: cell], pixels[:, cell - 1 :: cell] = 255, 255
    left, top, every = x + LETTERS, y + 2 * LINE, -(-LINE // cell)
    picture.paste(Image.fromarray(pixels), (left, top))
    draw.text((left, y + 2), f"{panel.title}: up to {100 * most:.1f} %", fill=INK, font=font)
    for column in range(0, panel.shares.shape[1], every):
        draw.text((left + column * cell + 1, top - LINE + 2), str(column + 1), fill=INK, font=font)
    for row in range(0, len(panel.row_names), every):
        draw.text((x + 6, top + row * cell + 1), panel.row_names[row], fill=INK, font=font)
