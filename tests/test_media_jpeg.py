"""JPEGs, decoded by simplejpeg where they are plain: the same pixels and the same refusals as Pillow's."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PILImage

from omni import media
from omni.media import MediaError, read_image

needs_simplejpeg = pytest.mark.skipif(media.simplejpeg is None, reason="needs simplejpeg")


def picture(width: int = 67, height: int = 45) -> PILImage.Image:
    """Smooth colours with some noise."""
    random = np.random.default_rng(0)
    coarse = PILImage.fromarray(random.integers(0, 256, (5, 7, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), PILImage.Resampling.BICUBIC), np.float64)
    return PILImage.fromarray((smooth + random.normal(0, 6, smooth.shape)).clip(0, 255).astype(np.uint8))


def jpeg(of: PILImage.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    of.save(buffer, "JPEG", **options)
    return buffer.getvalue()


def turned(orientation: int) -> PILImage.Exif:
    exif = PILImage.Exif()
    exif[0x0112] = orientation
    return exif


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'

PLAIN = {
    "4:4:4": jpeg(picture(), subsampling=0, quality=95),
    "4:2:2": jpeg(picture(), subsampling=1),
    "4:2:0": jpeg(picture(), subsampling=2, quality=30),
    "progressive": jpeg(picture(), progressive=True),
    "restart markers": jpeg(picture(), restart_marker_rows=1),
    "one pixel": jpeg(picture(1, 1)),
    "grey": jpeg(picture().convert("L")),
    "with a profile": jpeg(picture(), icc_profile=b"profile" * 20, comment="made by a test"),
}
OTHER = {
    "cmyk": jpeg(picture().convert("CMYK")),
    "stored as rgb": jpeg(picture(), keep_rgb=True),
    "turned by exif": jpeg(picture(), exif=turned(6)),
    "turned by xmp": jpeg(picture(), xmp=XMP),
    "upright by exif": jpeg(picture(), exif=turned(1)),
}


def verdict(content: bytes) -> list | str:
    """Pixels, or what is wrong."""
    try:
        return read_image(content).tolist()
    except MediaError as error:
        return str(error)


def by_pillow(content: bytes, monkeypatch: pytest.MonkeyPatch) -> list | str:
    with monkeypatch.context() as without:
        without.setattr(media, "simplejpeg", None)
        return verdict(content)


@needs_simplejpeg
@pytest.mark.parametrize("content", [*PLAIN.values(), *OTHER.values()], ids=[*PLAIN, *OTHER])
def test_both_decoders_give_the_same_pixels(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    assert verdict(content) == by_pillow(content, monkeypatch)


@needs_simplejpeg
def test_only_plain_jpegs_leave_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = {name for name, content in {**PLAIN, **OTHER}.items() if media._plain_jpeg(content) is not None}
    assert plain == set(PLAIN)
    monkeypatch.setattr(media, "MAX_PIXELS", 67 * 45 - 1)
    with pytest.raises(MediaError, match="67x45 pixels, at most 3014 allowed"):
        read_image(PLAIN["4:2:0"])


@pytest.mark.parametrize("name", ["turned by exif", "turned by xmp"])
def test_a_turned_jpeg_is_set_upright(name: str) -> None:
    upright = np.rot90(read_image(OTHER["upright by exif"]), -1)
    assert read_image(OTHER[name]).tolist() == upright.tolist()


@needs_simplejpeg
@pytest.mark.parametrize("name", ["4:2:0", "progressive", "restart markers", "grey"])
def test_damage_is_judged_as_pillow_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, random = PLAIN[name], np.random.default_rng(0)
    damaged = [whole[:end] for end in (*range(2, len(whole), len(whole) // 20), len(whole) - 1)]
    for _ in range(60):
        at = int(random.integers(2, len(whole)))
        damaged.append(whole[:at] + random.bytes(1) + whole[at + 1 :])
    damaged.append(whole + b"behind the end")
    verdicts = [verdict(content) for content in damaged]
    assert verdicts == [by_pillow(content, monkeypatch) for content in damaged]
    assert {type(one) for one in verdicts} == {list, str}


@needs_simplejpeg
def test_a_plain_jpeg_is_decoded_into_the_memory_that_is_given() -> None:
    room, asked = np.zeros((2, 45, 67, 3), np.uint8), []

    def canvas(height: int, width: int) -> np.ndarray:
        asked.append((height, width))
        return room[1]

    pixels = read_image(PLAIN["4:2:0"], canvas)
    assert np.shares_memory(pixels, room[1]) and asked == [(45, 67)]
    assert room[1].tolist() == read_image(PLAIN["4:2:0"]).tolist()
    assert not room[0].any()


def test_any_other_picture_gets_memory_of_its_own() -> None:
    room = np.zeros((67, 45, 3), np.uint8)
    pixels = read_image(OTHER["turned by exif"], lambda height, width: room)
    assert not np.shares_memory(pixels, room) and not room.any()
