"""Exact duplicates of pictures and clips."""

from __future__ import annotations

import io

from PIL import Image as PILImage

from omni.datamodules.importers.duplicates import Duplicates
from omni.media import read_image
from omni.sequence import Audio, Document, Image, Segment, Text
from tests.tiny import SAMPLE_RATE, picture, tone


def kept(*documents: tuple[Segment, ...]) -> tuple[list[int], int]:
    duplicates = Duplicates()
    made = [Document(segments, key=str(number)) for number, segments in enumerate(documents)]
    return [int(document.key) for document in duplicates.dropped(made)], duplicates.count


def cat(kind: str) -> Image:
    buffer = io.BytesIO()
    PILImage.fromarray(picture(1)).save(buffer, format=kind)
    return Image(read_image(buffer.getvalue()))


def test_the_same_picture_in_other_files_is_one() -> None:
    assert kept((cat("PNG"),), (cat("BMP"), Text("again")), (Image(picture(2)),)) == ([0, 2], 1)


def test_clips_differ_by_sample_rate_too() -> None:
    wave = tone(1, 0.1)
    assert kept((Audio(wave, SAMPLE_RATE),), (Audio(wave, 16_000),), (Audio(wave, SAMPLE_RATE),)) == (
        [0, 1],
        1,
    )


def test_shape_counts() -> None:
    assert kept((Image(picture(1, 4, 8)),), (Image(picture(1, 4, 8).reshape(8, 4, 3)),)) == ([0, 1], 0)


def test_a_page_with_something_new_stays_and_so_does_text() -> None:
    a, b = Image(picture(1)), Image(picture(2))
    assert kept((a,), (a, b), (b, a), (Text("x"),), (Text("x"),)) == ([0, 1, 3, 4], 1)


def test_a_picture_may_come_twice_in_one_document() -> None:
    a = Image(picture(1))
    assert kept((a, a)) == ([0], 0)
