"""Pictures and clips of clients: looked at before they are decoded."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from PIL import Image as PILImage

from omni.serve.errors import ApiError
from omni.serve.media import clip_of, from_base64, picture_of
from omni.serve.settings import Limits
from tests.tiny import SAMPLE_RATE, picture, tone

LIMITS = Limits(megapixels=0.01, audio_seconds=1.0)


def file_of(format_: str) -> bytes:
    buffer = io.BytesIO()
    PILImage.fromarray(picture(3, 20, 30)).save(buffer, format=format_)
    return buffer.getvalue()


def sound_of(format_: str, seconds: float = 0.5, rate: int = SAMPLE_RATE) -> bytes:
    buffer = io.BytesIO()
    time_W = np.resize(tone(3), round(seconds * rate))
    soundfile.write(buffer, time_W, rate, format=format_)
    return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def refused(content: bytes, kind: str, **options: str) -> ApiError:
    with pytest.raises(ApiError) as caught:
        if kind == "picture":
            picture_of(content, LIMITS, "place")
        else:
            clip_of(content, LIMITS, "place", **options)
    assert caught.value.status_code == 400
    assert caught.value.param == "place"
    return caught.value


@pytest.mark.parametrize("format_", ["PNG", "JPEG", "WEBP", "GIF"])
def test_known_pictures_are_read(format_: str) -> None:
    assert picture_of(file_of(format_), LIMITS, "place").pixels.shape == (20, 30, 3)


@pytest.mark.parametrize("format_", ["BMP", "TIFF", "PPM"])
def test_other_pictures_are_refused(format_: str) -> None:
    assert "expected one of PNG, JPEG, WEBP, GIF" in refused(file_of(format_), "picture").message


def test_a_large_picture_is_refused_by_its_header(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omni.serve.media.read_image", lambda _: pytest.fail("it was decoded"))
    error = refused(png_header(101, 100), "picture")
    assert (error.code, error.message) == (
        "image_too_large",
        "101 x 100 pixels, at most 0.01 million are taken: scale it down",
    )
    with pytest.raises(ApiError, match=r"no readable picture|at most 16 million"):
        picture_of(png_header(60_000, 60_000), Limits(), "place")


def test_damaged_files_are_refused() -> None:
    assert refused(file_of("PNG")[:60], "picture").code == "invalid_image"
    assert refused(png_header(10, 10), "picture").code == "invalid_image"
    assert refused(b"", "picture").code == "invalid_image_format"
    assert refused(sound_of("FLAC")[:400], "clip").code in ("invalid_audio", "invalid_audio_format")
    assert refused(b"", "clip").code == "invalid_audio_format"
    assert refused(sound_of("WAV", 0.0), "clip").code == "invalid_audio"


@pytest.mark.parametrize("format_", ["WAV", "FLAC", "MP3", "OGG"])
def test_known_clips_are_read(format_: str) -> None:
    assert clip_of(sound_of(format_), LIMITS, "place").seconds == pytest.approx(0.5, abs=0.1)


def test_other_clips_are_refused() -> None:
    assert "AIFF is not taken" in refused(sound_of("AIFF"), "clip").message
    assert "said to be mp3, but it is WAV" in refused(sound_of("WAV"), "clip", declared="mp3").message
    assert clip_of(sound_of("WAV"), LIMITS, "place", "wav").sample_rate == SAMPLE_RATE


@pytest.mark.parametrize("format_", ["WAV", "FLAC", "MP3"])
def test_a_long_clip_is_refused(format_: str) -> None:
    assert "at most 1 s" in refused(sound_of(format_, 1.3), "clip").message


def test_sixty_seconds_are_the_default() -> None:
    limits = replace(LIMITS, audio_seconds=Limits().audio_seconds)
    assert clip_of(sound_of("FLAC", 60.0), limits, "place").seconds == 60
    with pytest.raises(ApiError, match=r"60\.5 s of sound, at most 60 s"):
        clip_of(sound_of("FLAC", 60.5), limits, "place")


def test_base64_forgives_padding_and_line_breaks_only() -> None:
    encoded = base64.b64encode(b"four").decode()
    assert from_base64(encoded, "x") == from_base64(encoded.rstrip("="), "x") == b"four"
    assert from_base64(f"{encoded[:3]}\n{encoded[3:]}", "x") == b"four"
    for bad in ("fo*r", "é", "a"):
        with pytest.raises(ApiError, match="no base64"):
            from_base64(bad, "x")
