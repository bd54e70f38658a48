"""Charts and other line drawings, so that their strokes outlive scaling.

A model reads a picture at the size of its patch grid. A plot of 640 x 480 pixels has strokes of two pixels; on a grid
of 28 x 36 pixels they are a shade that is hardly there. So where all strokes of a drawing on plain paper would be
less than half a pixel wide, the drawing is cut to its frame (labels outside could not be read anyway) and its
strokes are made about a pixel wide. All other pictures stay as they are.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, UInt8
from scipy.ndimage import maximum_filter, minimum_filter

from omni.tokenizers.image import LUMA

PAPER_SHARE = 0.75
"""Of a drawing, at least this share of all pixels is paper."""
CONTRAST = 40
"""Grey levels, of 255, by which strokes differ from paper."""
THIN, WIDE = 0.5, 0.8
"""Pixels of the model: a stroke below the first is too thin, and is made as wide as the second."""
SOLID_SHARE = 0.003
"""Of all pixels; what is left of the drawing without its thin strokes, if it has none but these."""
FRAME_SHARE = 0.6
"""A line of the frame covers at least this share of the width or height."""
MARGIN = 0.05
"""Paper around what was inside the frame, as a share of the shorter side."""


def legible(
    pixels: UInt8[np.ndarray, "height width 3"], rows: int
) -> UInt8[np.ndarray, "new_height new_width 3"]:
    """The picture, redrawn if it is a drawing whose strokes would vanish.

    Args:
        pixels: of the picture.
        rows: pixels that the model sees of its height.
    """
    grey = pixels @ LUMA
    paper = np.median(grey)
    strokes = np.abs(grey - paper) > CONTRAST
    pixel = pixels.shape[0] / rows  # pixels of the picture in one of the model's
    if pixel * THIN < 1 or not strokes.any() or strokes.mean() > 1 - PAPER_SHARE:
        return pixels
    if _wider_than(round(THIN * pixel), strokes).mean() > SOLID_SHARE:
        return pixels
    inside = pixels[_inside(strokes.mean(1)), _inside(strokes.mean(0))]
    margin = round(MARGIN * min(inside.shape[:2]))
    inside = np.pad(inside, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    widened = minimum_filter if paper > np.median(grey[strokes]) else maximum_filter
    width = round(WIDE * pixel)
    return widened(inside, size=(width, width, 1))


def _wider_than(width: int, strokes: Bool[np.ndarray, "height width_"]) -> Bool[np.ndarray, "height width_"]:
    """What squares of this width can cover without leaving the strokes (a morphological opening)."""
    opened = maximum_filter(minimum_filter(strokes.astype(np.uint8), width + 1), width + 1)
    return opened.astype(bool)


def _inside(covered: Float[np.ndarray, " n"]) -> slice:
    """What lies between the lines of a frame: the innermost ones of both halves that cover most of a side."""
    count = len(covered)
    lines = np.flatnonzero(covered >= FRAME_SHARE)
    first = max(lines[lines < count // 2], default=-2) + 2  # strokes are blurred at their edges
    last = min(lines[lines >= count // 2], default=count + 1) - 1
    return slice(first, last) if last - first > 0.3 * count else slice(None)
