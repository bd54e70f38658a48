"""Diversity: real pictures are the measure; copies, one picture again and again, and noise earn nothing."""

from __future__ import annotations

import numpy as np
import pytest

from omni.evaluation.metrics.diversity import PictureYardstick
from omni.sequence import Image
from tests.evaluation.real import Pictures


@pytest.fixture(scope="module")
def yardstick(real_digits: tuple[Pictures, Pictures]) -> PictureYardstick:
    (train, words), (heldout, _) = real_digits
    return PictureYardstick(train, words, heldout)


def one_per_word(pictures: list[Image], words: list[str], times: int) -> Pictures:
    """The first picture of each word, ``times`` times."""
    first = {word: picture for picture, word in zip(pictures[::-1], words[::-1], strict=True)}
    return [picture for picture in first.values() for _ in range(times)], [
        w for w in first for _ in range(times)
    ]


def with_noise(pictures: list[Image], strength: float) -> list[Image]:
    rng = np.random.default_rng(0)
    return [
        Image(np.clip(p.pixels + rng.normal(0, strength, (8, 8, 1)), 0, 255).astype(np.uint8))
        for p in pictures
    ]


def test_real_pictures_are_as_diverse_as_real_ones(
    yardstick: PictureYardstick, real_digits: tuple[Pictures, Pictures]
) -> None:
    pictures, words = real_digits[1]
    diversity = yardstick.diversity(pictures, words, sorted(set(words)))
    assert diversity.mean == pytest.approx(1, abs=0.05)
    assert 0.8 < diversity.worst < 1


def test_the_same_picture_each_time_is_not_diverse(
    yardstick: PictureYardstick, real_digits: tuple[Pictures, Pictures]
) -> None:
    pictures, words = one_per_word(*real_digits[1], times=20)
    assert yardstick.diversity(pictures, words, sorted(set(words))).mean == pytest.approx(0)


@pytest.mark.parametrize("strength", [10, 25, 50])
def test_noise_earns_hardly_anything(
    yardstick: PictureYardstick, real_digits: tuple[Pictures, Pictures], strength: float
) -> None:
    pictures, words = one_per_word(*real_digits[1], times=30)
    assert yardstick.diversity(with_noise(pictures, strength), words, sorted(set(words))).mean < 0.2


def test_a_class_with_one_picture_or_none_counts_as_zero(
    yardstick: PictureYardstick, real_digits: tuple[Pictures, Pictures]
) -> None:
    pictures, words = real_digits[1]
    threes = [picture for picture, word in zip(pictures, words, strict=True) if word == "three"]
    fours = [picture for picture, word in zip(pictures, words, strict=True) if word == "four"]
    shown = ["three"] * len(threes) + ["four"]
    diversity = yardstick.diversity([*threes, fours[0]], shown, ["three", "four", "five"])
    assert diversity.by_class["three"] == pytest.approx(1, abs=0.1)
    assert (diversity.by_class["four"], diversity.by_class["five"], diversity.worst) == (0, 0, 0)


def test_unknown_classes_are_named(yardstick: PictureYardstick) -> None:
    with pytest.raises(ValueError, match=r"no real pictures of \['ten'\]"):
        yardstick.diversity([], [], ["ten"])


def test_copies_are_near_and_real_pictures_are_not(
    yardstick: PictureYardstick, real_digits: tuple[Pictures, Pictures]
) -> None:
    train = real_digits[0][0][:50]
    exact, near = yardstick.nearness(train), yardstick.nearness(with_noise(train, 5))
    assert (exact.median, exact.copies) == (0, 1)
    assert 0 < near.median < 0.03
    assert near.copies == 1
    real = yardstick.real_nearness
    assert real is not None
    assert real.median == pytest.approx(0.14, abs=0.01)
    assert real.copies == 0


def test_one_real_picture_of_a_class_is_too_few(real_digits: tuple[Pictures, Pictures]) -> None:
    pictures = real_digits[0][0][:3]
    with pytest.raises(ValueError, match=r"only one real picture of \['b'\]"):
        PictureYardstick(pictures, ["a", "a", "b"])
