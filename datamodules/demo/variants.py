"""Pictures of digits as other hands could have drawn them: turned, slanted, scaled and moved a little.

Reading is learnt from 1,437 pictures, which a network soon knows by heart. Only pictures that are read are varied;
those that are drawn stay as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, UInt8
from scipy.ndimage import affine_transform

from omni.datamodules.demo.digits import DigitPicture

VARIANTS = 12
"""Of each picture, besides itself."""
_TURN = np.deg2rad(10)
_SLANT = 0.15  # pixels a row
_SCALE = 0.08  # natural logarithm
_SHIFT = 0.5  # pixels


def with_variants(pictures: Sequence[DigitPicture]) -> tuple[DigitPicture, ...]:
    """The pictures, and ``VARIANTS`` more of each; the same whenever they are made."""
    rng = np.random.default_rng(0)
    varied = (
        replace(picture, pixels=_varied(picture.pixels, rng)) for picture in pictures for _ in range(VARIANTS)
    )
    return (*pictures, *varied)


def _varied(pixels: UInt8[np.ndarray, "8 8 3"], rng: np.random.Generator) -> UInt8[np.ndarray, "8 8 3"]:
    turn = rng.uniform(-_TURN, _TURN)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    slanted = np.array([[1.0, 0.0], [rng.uniform(-_SLANT, _SLANT), 1.0]])
    matrix: Float[np.ndarray, "2 2"] = turned @ slanted / np.exp(rng.uniform(-_SCALE, _SCALE))
    centre = np.array([3.5, 3.5])
    grey = affine_transform(
        pixels[..., 0].astype(np.float64),
        matrix,
        centre - matrix @ (centre + rng.uniform(-_SHIFT, _SHIFT, 2)),
        order=1,
    )
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, axis=-1)
