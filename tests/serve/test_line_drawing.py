"""Thin strokes are widened before they vanish; all that the model can see stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
from jaxtyping import UInt8

from omni.serve.line_drawing import legible
from tests.tiny import picture


def plot(height: int = 480, width: int = 640, stroke: int = 2, ink: int = 0) -> UInt8[np.ndarray, "h w 3"]:
    """A rising line inside a frame, with a label outside."""
    grey = np.full((height, width), 255 - ink, np.uint8)
    top, bottom, left, right = height // 10, height - height // 8, width // 8, width - width // 10
    grey[top : bottom + 1, [left, right]] = ink
    grey[[top, bottom], left : right + 1] = ink
    columns = np.arange(left + 20, right - 20)
    heights = np.linspace(bottom - 40, top + 40, len(columns)).astype(int)
    for shift in range(stroke):
        grey[heights + shift, columns] = ink
    grey[bottom + 10 : bottom + 14, left : left + 10] = ink
    return np.repeat(grey[:, :, None], 3, axis=2)


@pytest.mark.parametrize("ink", [0, 255])
def test_thin_strokes_become_a_pixel_of_the_model_wide(ink: int) -> None:
    drawn = legible(plot(ink=ink), rows=24)
    dark = np.abs(drawn[..., 0].astype(int) - (255 - ink)) > 100
    assert drawn.shape[0] < 480 and drawn.shape[1] < 640  # cut to the frame
    middle = dark[:, drawn.shape[1] // 2]
    assert 16 <= middle.sum() <= 28  # one across is 480 / 24 pixels, and the line is slanted; no frame
    above, below = dark[:, : drawn.shape[1] // 2], dark[:, drawn.shape[1] // 2 :]
    assert np.argwhere(above)[:, 0].mean() > np.argwhere(below)[:, 0].mean()  # it still rises


def test_what_can_be_seen_stays() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    blank = np.full((480, 640, 3), 255, np.uint8)
    for kept in (plot(stroke=24), noise, blank, picture(3, 8, 8), picture(3, 400, 300)):
        assert legible(kept, rows=24) is kept
    sharp = plot()
    assert legible(sharp, rows=400) is sharp  # a model of larger pictures sees the strokes


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 500), (500, 1), (40, 3), (4000, 30)])
def test_any_shape_is_taken(height: int, width: int) -> None:
    strip = np.full((height, width, 3), 255, np.uint8)
    strip[height // 2, width // 2] = 0
    assert legible(strip, rows=4).dtype == np.uint8
