"""Pictures to patches and back: order, grid, budget, aspect ratio."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from jaxtyping import UInt8

from omni.tokenizers.image import ImageTokenizer, ImageTokenizerConfig
from tests.tiny import picture

CONFIGS = st.builds(
    ImageTokenizerConfig,
    patch_size=st.sampled_from([1, 4, 16]),
    channels=st.sampled_from([1, 3]),
    max_patches=st.integers(1, 64),
    max_grid=st.integers(1, 20),
)


def grey_tokenizer() -> ImageTokenizer:
    return ImageTokenizer(ImageTokenizerConfig(patch_size=2, channels=1, max_patches=8, max_grid=4))


def grey(rows: list[list[int]]) -> UInt8[np.ndarray, "height width 3"]:
    return np.repeat(np.array(rows, np.uint8)[:, :, None], 3, axis=2)


def noise(height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_patches_are_in_raster_order_and_so_are_their_pixels() -> None:
    pixels = grey(
        [
            [0, 1, 10, 11, 20, 21],
            [2, 3, 12, 13, 22, 23],
            [100, 101, 110, 111, 120, 121],
            [102, 103, 112, 113, 122, 123],
        ]
    )
    patches, rows, cols = grey_tokenizer().encode(pixels)
    assert (rows, cols) == (2, 3)
    assert np.rint((patches + 1) * 127.5).astype(int).tolist() == [
        [0, 1, 2, 3],
        [10, 11, 12, 13],
        [20, 21, 22, 23],
        [100, 101, 102, 103],
        [110, 111, 112, 113],
        [120, 121, 122, 123],
    ]


def test_values_are_in_minus_one_to_one() -> None:
    patches, _, _ = grey_tokenizer().encode(grey([[0, 255], [51, 204]]))
    np.testing.assert_allclose(patches, [[-1.0, 1.0, -0.6, 0.6]], atol=1e-6)
    assert patches.dtype == np.float32


@pytest.mark.parametrize("channels", [1, 3])
def test_a_grey_picture_of_whole_patches_comes_back_exactly(channels: Literal[1, 3]) -> None:
    tokenizer = ImageTokenizer(ImageTokenizerConfig(patch_size=4, channels=channels, max_patches=6))
    pixels = grey(np.random.default_rng(0).integers(0, 256, (8, 12)).tolist())
    np.testing.assert_array_equal(tokenizer.decode(*tokenizer.encode(pixels)), pixels)


def test_a_coloured_picture_comes_back_in_rgb_and_as_luminance_in_grey() -> None:
    pixels = np.zeros((4, 12, 3), np.uint8)
    pixels[:, :4, 0] = pixels[:, 4:8, 1] = pixels[:, 8:, 2] = 255  # red, green, blue
    rgb = ImageTokenizer(ImageTokenizerConfig(patch_size=4))
    np.testing.assert_array_equal(rgb.decode(*rgb.encode(pixels)), pixels)
    luminance = ImageTokenizer(ImageTokenizerConfig(patch_size=4, channels=1))
    seen = luminance.decode(*luminance.encode(pixels))
    assert seen[0, ::4].tolist() == [[76, 76, 76], [150, 150, 150], [29, 29, 29]]


@given(CONFIGS, st.integers(1, 300), st.integers(1, 300))
@example(ImageTokenizerConfig(patch_size=4, max_patches=16, max_grid=8), 260, 615)
def test_grid_is_under_budget_and_no_side_is_squashed(
    config: ImageTokenizerConfig, height: int, width: int
) -> None:
    """Rows and columns are within half a patch of the picture at one scale, or a side has just one patch."""
    patches, rows, cols = ImageTokenizer(config).encode(noise(height, width))
    assert patches.shape == (rows * cols, config.channels * config.patch_size**2)
    assert 1 <= rows * cols <= config.max_patches
    assert max(rows, cols) <= config.max_grid
    if max(height, width) <= min(config.max_patches, config.max_grid) * min(height, width):
        least = [(side - 0.5) / pixels for side, pixels in ((rows, height), (cols, width)) if side > 1]
        most = [(side + 0.5) / pixels for side, pixels in ((rows, height), (cols, width))]
        assert max(least, default=0.0) <= min(most) + 1e-9, (rows, cols)


@pytest.mark.parametrize(
    ("height", "width", "grid"),
    [
        (8, 8, (2, 2)),
        (8, 12, (2, 3)),
        (9, 10, (2, 2)),
        (10, 11, (2, 3)),
        (1, 1, (1, 1)),
        (16, 16, (4, 4)),
        (100, 100, (4, 4)),
        (200, 100, (5, 3)),
        (100, 200, (3, 5)),
        (260, 615, (2, 6)),
        (1000, 1000, (4, 4)),
        (1, 1000, (1, 8)),
        (1000, 1, (8, 1)),
        (3000, 4000, (3, 5)),
    ],
)
def test_grids_of_pictures(height: int, width: int, grid: tuple[int, int]) -> None:
    tokenizer = ImageTokenizer(ImageTokenizerConfig(patch_size=4, max_patches=16, max_grid=8))
    assert tokenizer.grid(height, width) == grid


def test_one_pixel_fills_a_patch() -> None:
    patches, rows, cols = grey_tokenizer().encode(grey([[51]]))
    assert (rows, cols) == (1, 1)
    np.testing.assert_allclose(patches, [[-0.6, -0.6, -0.6, -0.6]], atol=1e-6)


@pytest.mark.parametrize("upright", [False, True])
def test_a_strip_is_shrunk_and_its_edge_repeated(upright: bool) -> None:
    strip = grey([[0] * 500 + [255] * 500])
    patches, rows, cols = grey_tokenizer().encode(strip.transpose(1, 0, 2) if upright else strip)
    assert (rows, cols) == ((4, 1) if upright else (1, 4))
    np.testing.assert_allclose(patches.mean(axis=1), [-1, -1, 1, 1], atol=0.13)  # smoothed at the step


def test_a_long_strip_takes_little_memory() -> None:
    """Padded to the grid's aspect ratio at full size, it would take 300 GB."""
    tokenizer = ImageTokenizer(ImageTokenizerConfig(patch_size=16, max_patches=10, max_grid=10))
    patches, rows, cols = tokenizer.encode(np.full((1, 1_000_000, 3), 255, np.uint8))
    assert (rows, cols) == (1, 10)
    assert (patches == 1).all()


def test_values_beyond_the_range_are_clipped() -> None:
    pixels = grey_tokenizer().decode(np.array([[-3.0, 3.0, 0.0, 1.0]], np.float32), 1, 1)
    assert pixels[..., 0].tolist() == [[0, 255], [128, 255]]


def test_a_picture_without_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="a picture needs at least one pixel, got 3 x 0"):
        grey_tokenizer().encode(np.zeros((3, 0, 3), np.uint8))


def test_patches_that_do_not_fill_the_grid_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(3, 4\) don't fill a grid of 2 x 2 with 4 values each"):
        grey_tokenizer().decode(np.zeros((3, 4), np.float32), 2, 2)


@pytest.mark.parametrize("name", ["patch_size", "max_patches", "max_grid"])
def test_settings_are_checked(name: str) -> None:
    settings: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=rf"image\.{name} must be at least 1, got 0"):
        ImageTokenizerConfig(**settings)


def test_pictures_of_the_tiny_documents_come_back() -> None:
    tokenizer = ImageTokenizer(ImageTokenizerConfig(patch_size=4, channels=1, max_patches=16, max_grid=8))
    pixels = picture(7, height=12, width=8)
    np.testing.assert_array_equal(tokenizer.decode(*tokenizer.encode(pixels)), pixels)
