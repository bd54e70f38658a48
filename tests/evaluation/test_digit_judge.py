"""The judge of pictures reads real digits, whatever their size and order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from omni.evaluation.judges.digits import DigitJudge
from omni.evaluation.thumbnails import thumbnails
from omni.sequence import Image
from tests.evaluation.real import Pictures


def test_reads_heldout_digits(digit_judge: DigitJudge, real_digits: tuple[Pictures, Pictures]) -> None:
    pictures, words = real_digits[1]
    verdicts = digit_judge.judge(pictures)
    right = [verdict.answer == word for verdict, word in zip(verdicts, words, strict=True)]
    assert np.mean(right) == pytest.approx(0.964, abs=0.001)
    leads = np.array([verdict.margin for verdict in verdicts])
    assert leads[np.array(right)].mean() > leads[~np.array(right)].mean()


def test_verdicts_depend_on_no_other_picture(
    digit_judge: DigitJudge, real_digits: tuple[Pictures, Pictures]
) -> None:
    pictures = real_digits[1][0][:40]
    together = [verdict.answer for verdict in digit_judge.judge(pictures)]
    assert [digit_judge.judge([picture])[0].answer for picture in reversed(pictures)] == together[::-1]
    assert digit_judge.judge([]) == []


def test_size_and_shape_do_not_matter(
    digit_judge: DigitJudge, real_digits: tuple[Pictures, Pictures]
) -> None:
    pictures = real_digits[1][0][:40]
    larger = [Image(picture.pixels.repeat(3, axis=0).repeat(5, axis=1)) for picture in pictures]
    assert digit_judge.judge(larger) == digit_judge.judge(pictures)


def test_thumbnails_average_areas() -> None:
    pixels = np.zeros((16, 16, 3), dtype=np.uint8)
    pixels[:2, :2] = np.array([[0, 100], [100, 200]], dtype=np.uint8)[..., None]
    small = thumbnails([Image(pixels)])
    assert small.shape == (1, 64)
    assert small[0, :2].tolist() == [100 / 255, 0.0]


def test_a_picture_without_pixels_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"shape \(0, 4, 3\) has no pixels"):
        thumbnails([Image(np.zeros((0, 4, 3), dtype=np.uint8))])


def test_saved_and_loaded_it_says_the_same(
    digit_judge: DigitJudge, real_digits: tuple[Pictures, Pictures], tmp_path: Path
) -> None:
    digit_judge.save(tmp_path / "judges")
    loaded = DigitJudge.load(tmp_path / "judges")
    assert loaded.words == digit_judge.words == tuple(sorted(set(real_digits[0][1])))
    assert loaded.judge(real_digits[1][0]) == digit_judge.judge(real_digits[1][0])


def test_a_missing_judge_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"digit_judge\.npz: no saved judge here"):
        DigitJudge.load(tmp_path)


def test_bad_training_data_is_refused() -> None:
    picture = Image(np.zeros((8, 8, 3), dtype=np.uint8))
    with pytest.raises(ValueError, match="3 feature vectors but 1 words"):
        DigitJudge.fit([picture] * 3, ["one"])
    with pytest.raises(ValueError, match=r"at least 3 different words.*\['one', 'two'\]"):
        DigitJudge.fit([picture] * 2, ["one", "two"])
