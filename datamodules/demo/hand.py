"""How a digit is written, measured by the moments of its ink: how thick the line is, and how far it leans."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8


def slant(pixels: UInt8[np.ndarray, "_ _ 3"]) -> float:
    """Columns that the ink moves to the right for each row upwards: positive where it leans right.

    The ratio of second central moments by which handwriting is usually made upright (mu11 / mu02).
    """
    _, _, across, rows = _moments(pixels)
    return -across / max(rows, 1e-9)


def thickness(pixels: UInt8[np.ndarray, "_ _ 3"]) -> float:
    """Ink over the radius of its spread: of strokes of one length, the wider has more."""
    ink, columns, _, rows = _moments(pixels)
    return ink / max(np.sqrt(columns + rows), 1e-9)


def _moments(pixels: UInt8[np.ndarray, "_ _ 3"]) -> tuple[float, float, float, float]:
    """Sum of the ink, and its central moments 20, 11 and 02 (column, row) per unit of ink."""
    ink = pixels.mean(axis=2) / 255.0
    total = float(ink.sum())
    row, column = np.mgrid[: ink.shape[0], : ink.shape[1]]
    weight = ink / max(total, 1e-9)
    row = row - (weight * row).sum()
    column = column - (weight * column).sum()
    moments = ((weight * a * b).sum() for a, b in ((column, column), (column, row), (row, row)))
    columns, across, rows = (float(moment) for moment in moments)
    return total, columns, across, rows
