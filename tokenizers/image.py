"""Pictures to patches and back: any aspect ratio, resized to a patch grid under a budget.

As in NaViT (arXiv 2307.06304): a picture is scaled as a whole, then each side is rounded to whole patches.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image as PILImage

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601


@dataclass(frozen=True, kw_only=True)
class ImageTokenizerConfig:
    """How pictures are cut into patches."""

    patch_size: int = 16
    """Side of a square patch, in pixels."""
    channels: Literal[1, 3] = 3
    """1 sees luminance only, 3 sees RGB."""
    max_patches: int = 256
    """Larger pictures are scaled down until they have at most this many patches."""
    max_grid: int = 64
    """Most rows or columns; at most what the text tokenizer has size symbols for."""

    def __post_init__(self) -> None:
        for name in ("patch_size", "max_patches", "max_grid"):
            if getattr(self, name) < 1:
                raise ValueError(f"image.{name} must be at least 1, got {getattr(self, name)}")
        if self.channels not in (1, 3):
            raise ValueError(f"image.channels must be 1 (luminance) or 3 (RGB), got {self.channels}")


class ImageTokenizer:
    """Cuts pictures into normalised patches in raster order. Values are in [-1, 1]."""

    def __init__(self, config: ImageTokenizerConfig) -> None:
        self.config = config

    @property
    def patch_values(self) -> int:
        """P: values of one patch."""
        return self.config.channels * self.config.patch_size**2

    def grid(self, height: int, width: int) -> tuple[int, int]:
        """Rows and columns of patches for a picture of ``height`` x ``width`` pixels.

        Both are within half a patch of the picture at one common scale, and at least 1.
        """
        config = self.config
        side = config.patch_size
        scale = min(
            1.0,
            math.sqrt(config.max_patches * side**2 / (height * width)),
            config.max_grid * side / max(height, width),
        )
        rows = max(1, round(height * scale / side))
        cols = max(1, round(width * scale / side))
        while (
            rows * cols > config.max_patches
        ):  # rounded up over the budget: scale down until a side rounds down
            if rows > 1 and (cols == 1 or (rows - 0.5) * width >= (cols - 0.5) * height):
                rows -= 1
            else:
                cols -= 1
        return rows, cols

    def encode(
        self, pixels: UInt8[np.ndarray, "height width 3"]
    ) -> tuple[Float[np.ndarray, "I P"], int, int]:
        """Patches of a picture, and the rows and columns of their grid. I = rows * cols.

        Raises:
            ValueError: a picture without pixels.
        """
        config, side = self.config, self.config.patch_size
        if 0 in pixels.shape:
            raise ValueError(f"a picture needs at least one pixel, got {pixels.shape[0]} x {pixels.shape[1]}")
        pixels = _limit_aspect(pixels, min(config.max_grid, config.max_patches), side)
        rows, cols = self.grid(*pixels.shape[:2])
        values = _resized(pixels, rows * side, cols * side).astype(np.float32) / 127.5 - 1.0
        if config.channels == 1:
            values = (values @ LUMA)[..., None]
        cut = values.reshape(rows, side, cols, side, config.channels).transpose(0, 2, 1, 3, 4)
        return np.ascontiguousarray(cut.reshape(rows * cols, self.patch_values), dtype=np.float32), rows, cols

    def decode(
        self, patches_IP: Float[np.ndarray, "I P"], rows: int, cols: int
    ) -> UInt8[np.ndarray, "height width 3"]:
        """The picture of a grid of patches; values outside [-1, 1] are clipped.

        Raises:
            ValueError: the patches don't fill the grid.
        """
        if patches_IP.shape != (rows * cols, self.patch_values):
            raise ValueError(
                f"patches of shape {patches_IP.shape} don't fill a grid of {rows} x {cols} "
                f"with {self.patch_values} values each"
            )
        side, channels = self.config.patch_size, self.config.channels
        values = patches_IP.reshape(rows, cols, side, side, channels).transpose(0, 2, 1, 3, 4)
        values = values.reshape(rows * side, cols * side, channels)
        pixels = np.clip(np.rint((values + 1.0) * 127.5), 0, 255).astype(np.uint8)
        return np.repeat(pixels, 3, axis=2) if channels == 1 else pixels


def _resized(
    pixels: UInt8[np.ndarray, "h w 3"], height: int, width: int
) -> UInt8[np.ndarray, "height width 3"]:
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(PILImage.fromarray(pixels).resize((width, height), PILImage.Resampling.BILINEAR))


def _limit_aspect(
    pixels: UInt8[np.ndarray, "h w 3"], most: int, side: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Repeat the edge of a strip over ``most`` times longer than wide: no grid could show it unsquashed."""
    height, width = pixels.shape[:2]
    if max(height, width) <= most * min(height, width):
        return pixels
    scale = min(1.0, most * side / max(height, width))  # first, so that the padding can't fill the memory
    height, width = max(1, round(height * scale)), max(1, round(width * scale))
    add_rows = max(0, math.ceil(width / most) - height)
    add_cols = max(0, math.ceil(height / most) - width)
    return np.pad(_resized(pixels, height, width), ((0, add_rows), (0, add_cols), (0, 0)), mode="edge")
