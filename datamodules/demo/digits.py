"""Pictures of handwritten digits: the 1,797 of 8 x 8 pixels that come with scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from sklearn.datasets import load_digits

from omni.datamodules.demo.speech import DIGIT_WORDS
from omni.datamodules.demo.split import Split

HELDOUT_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class DigitPicture:
    """One handwritten digit, bright ink on black."""

    digit: int
    index: int
    """Place in the data set."""
    pixels: UInt8[np.ndarray, "8 8 3"]

    @property
    def word(self) -> str:
        """The digit in letters."""
        return DIGIT_WORDS[self.digit]


def digit_pictures() -> Split[DigitPicture]:
    """All pictures, the last fifth of the data set held out; its ink values 0 to 16 become 0 to 255, in grey.

    The data set doesn't say who wrote what, so hands can't be kept apart.
    """
    inks, digits = load_digits(return_X_y=True)
    grey = np.rint(inks.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    pixels = np.repeat(grey[..., None], 3, axis=-1)
    pictures = tuple(DigitPicture(int(digits[i]), i, pixels[i]) for i in range(len(pixels)))
    border = int((1 - HELDOUT_SHARE) * len(pictures))
    return Split(pictures[:border], pictures[border:])
