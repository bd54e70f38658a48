"""Variants of a picture show the same digit a little otherwise."""

from __future__ import annotations

import numpy as np

from omni.datamodules.demo.digits import digit_pictures
from omni.datamodules.demo.variants import VARIANTS, with_variants


def test_each_picture_has_variants_that_resemble_it() -> None:
    pictures = digit_pictures().train[:100]
    found = with_variants(pictures)
    assert found[:100] == pictures
    assert len(found) == 100 * (1 + VARIANTS)
    ink_PN = np.stack([picture.pixels[..., 0].ravel() for picture in pictures]).astype(float)
    for number, variant in enumerate(found[100:]):
        original = pictures[number // VARIANTS]
        assert (variant.digit, variant.index) == (original.digit, original.index)
        assert variant.pixels.shape == original.pixels.shape
        assert (variant.pixels == variant.pixels[..., :1]).all()
        assert (variant.pixels != original.pixels).any()
    nearest = [
        pictures[int(np.square(ink_PN - v.pixels[..., 0].ravel()).sum(1).argmin())] for v in found[100:]
    ]
    assert np.mean([one.index == v.index for one, v in zip(nearest, found[100:], strict=True)]) > 0.5
    assert np.mean([one.digit == v.digit for one, v in zip(nearest, found[100:], strict=True)]) > 0.95


def test_variants_are_always_the_same() -> None:
    pictures = digit_pictures().train[:5]
    for one, other in zip(with_variants(pictures), with_variants(pictures), strict=True):
        assert (one.pixels == other.pixels).all()
