"""Small grey pictures: the form in which judges and metrics compare digits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image as PILImage

from omni.sequence import Image

SIDE = 8
"""Pixels on a side, as in scikit-learn's digits."""


def thumbnails(pictures: Sequence[Image]) -> Float[np.ndarray, "items values"]:
    """Pictures of any size as ``SIDE`` x ``SIDE`` grey ones, flat, 0 to 1; each value averages its area."""
    return np.array([_thumbnail(picture.pixels) for picture in pictures], dtype=np.float64).reshape(
        -1, SIDE * SIDE
    )


def _thumbnail(pixels: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, " values"]:
    if 0 in pixels.shape:
        raise ValueError(f"picture of shape {pixels.shape} has no pixels to judge")
    small = PILImage.fromarray(pixels).convert("L").resize((SIDE, SIDE), PILImage.Resampling.BOX)
    return np.asarray(small, dtype=np.float64).ravel() / 255
