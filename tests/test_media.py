"""Media files of every kind and condition: each is converted, or refused by name and reason."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image as PILImage

from omni.media import (
    MAX_PIXELS,
    MediaError,
    check_waveform,
    encode_flac,
    encode_png,
    read_audio,
    read_image,
    resample,
    write_wav,
)

BLACK, WHITE, RED, BLUE = [0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 0, 255]


def encoded(picture: PILImage.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format=kind, **options)
    return buffer.getvalue()


def picture_of(values: list, dtype: type = np.uint8, mode: str | None = None) -> PILImage.Image:
    """One row of pixels as a Pillow picture."""
    return PILImage.fromarray(np.array([values], dtype=dtype), mode=mode)


def png_of(width: int, height: int, depth: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG written by hand: kinds that Pillow reads and does not write."""

    def chunk(name: bytes, content: bytes) -> bytes:
        checksum = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def row_of_16_bits(values: list[list[int]]) -> bytes:
    return b"\0" + np.array(values, ">u2").tobytes()


def palette_picture(transparent: int | None = None) -> bytes:
    picture = PILImage.new("P", (3, 1))
    picture.putpalette([*RED, *BLUE, *BLACK])
    for x in range(3):
        picture.putpixel((x, 0), x)
    return encoded(picture) if transparent is None else encoded(picture, transparency=transparent)


def animation(kind: str) -> bytes:
    frames = [PILImage.new("RGB", (2, 1), tuple(colour)) for colour in (RED, BLUE)]
    return encoded(frames[0], kind, save_all=True, append_images=frames[1:], duration=50, lossless=True)


RGB_ROW = PILImage.fromarray(np.array([[RED, BLUE, [1, 2, 3]]], np.uint8))

CONVERTED = {
    "rgb": (encoded(RGB_ROW), [RED, BLUE, [1, 2, 3]]),
    "one pixel": (encoded(picture_of([[1, 2, 3]])), [[1, 2, 3]]),
    "grey": (encoded(picture_of([0, 7, 255])), [BLACK, [7, 7, 7], WHITE]),
    "one bit": (encoded(picture_of([0, 255]).convert("1")), [BLACK, WHITE]),
    "grey with one transparent value": (
        encoded(picture_of([0, 7, 255]), transparency=7),
        [BLACK, WHITE, WHITE],
    ),
    "grey and alpha": (
        encoded(picture_of([[0, 255], [0, 128], [9, 0]], mode="LA")),
        [BLACK, [127] * 3, WHITE],
    ),
    "rgb and alpha": (
        encoded(picture_of([[255, 0, 0, 255], [255, 0, 0, 51], [9, 9, 9, 0]])),
        [RED, [255, 204, 204], WHITE],
    ),
    "rgb with a transparent colour": (encoded(RGB_ROW, transparency=(1, 2, 3)), [RED, BLUE, WHITE]),
    "palette": (palette_picture(), [RED, BLUE, BLACK]),
    "palette with a transparent colour": (palette_picture(transparent=1), [RED, WHITE, BLACK]),
    "cmyk tiff": (
        encoded(picture_of([[0, 255, 255, 0], [0, 0, 0, 255], [0, 0, 0, 0]], mode="CMYK"), "TIFF"),
        [RED, BLACK, WHITE],
    ),
    "cmyk jpeg": (encoded(PILImage.new("CMYK", (8, 1), (0, 255, 255, 0)), "JPEG", quality=100), [RED] * 8),
    "16-bit grey": (
        encoded(picture_of([0, 257, 32896, 65535], np.uint16)),
        [BLACK, [1] * 3, [128] * 3, WHITE],
    ),
    "16-bit grey with one transparent value": (
        encoded(picture_of([0, 257, 65535], np.uint16), transparency=257),
        [BLACK, WHITE, WHITE],
    ),
    "16-bit grey and alpha": (
        png_of(2, 1, 16, 4, row_of_16_bits([[257, 65535], [257, 0]])),
        [[1] * 3, WHITE],
    ),
    "16-bit rgb": (
        png_of(2, 1, 16, 2, row_of_16_bits([[65535, 0, 257], [514, 0, 0]])),
        [[255, 0, 1], [2, 0, 0]],
    ),
    "16-bit rgb and alpha": (
        png_of(2, 1, 16, 6, row_of_16_bits([[65535, 0, 0, 65535], [0, 0, 0, 0]])),
        [RED, WHITE],
    ),
    "16-bit pgm": (b"P5\n2 1\n65535\n" + np.array([257, 65535], ">u2").tobytes(), [[1] * 3, WHITE]),
    "32-bit grey": (encoded(picture_of([-100_000, 0, 100_000], np.int32), "TIFF"), [BLACK, [128] * 3, WHITE]),
    "float grey": (encoded(picture_of([-1.0, 1.0, 3.0], np.float32), "TIFF"), [BLACK, [128] * 3, WHITE]),
    "flat float grey": (encoded(picture_of([0.5, 0.5], np.float32), "TIFF"), [BLACK, BLACK]),
    "animated gif": (animation("GIF"), [RED, RED]),
    "animated png": (animation("PNG"), [RED, RED]),
    "animated webp": (animation("WEBP"), [RED, RED]),
}


@pytest.mark.parametrize(("content", "expected"), CONVERTED.values(), ids=CONVERTED.keys())
def test_pictures_are_converted_to_rgb(content: bytes, expected: list) -> None:
    assert read_image(content).tolist() == [expected]


@pytest.mark.parametrize(
    ("orientation", "expected"),
    [
        (1, [["r", "g", "b"]]),
        (2, [["b", "g", "r"]]),
        (3, [["b", "g", "r"]]),
        (6, [["r"], ["g"], ["b"]]),
        (8, [["b"], ["g"], ["r"]]),
    ],
)
def test_exif_rotation_is_applied(orientation: int, expected: list) -> None:
    colours = {"r": [255, 0, 0], "g": [0, 255, 0], "b": [0, 0, 255]}
    exif = PILImage.Exif()
    exif[0x0112] = orientation
    picture = PILImage.fromarray(np.array([list(colours.values())], np.uint8))
    pixels = [[colours[name] for name in row] for row in expected]
    assert read_image(encoded(picture, exif=exif)).tolist() == pixels


def test_exif_rotation_applies_to_16_bit_pictures() -> None:
    exif = PILImage.Exif()
    exif[0x0112] = 6
    assert read_image(encoded(picture_of([0, 65535], np.uint16), exif=exif)).tolist() == [[BLACK], [WHITE]]


def test_damaged_exif_is_passed_over() -> None:
    content = encoded(PILImage.new("RGB", (3, 2)), "JPEG", exif=b"Exif\0\0garbage")
    assert read_image(content).shape == (2, 3, 3)


NOISE = PILImage.fromarray(np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8))


def half(content: bytes) -> bytes:
    return content[: len(content) // 2]


UNREADABLE_PICTURES = {
    "empty": (b"", "not a picture, expected one of PNG, JPEG"),
    "text": (b"I am not a picture\n", "not a picture, expected one of PNG, JPEG"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 3 3\n%%EndComments\n", "not a picture"),
    "no pixels": (b"P6\n0 0\n255\n", "not a picture"),
    "cut off png": (half(encoded(NOISE)), "not a readable picture .*truncated"),
    "cut off jpeg": (half(encoded(NOISE, "JPEG")), "not a readable picture .*truncated"),
    "cut off gif": (half(encoded(NOISE, "GIF")), "not a readable picture .*truncated"),
    "cut off webp": (half(encoded(NOISE, "WEBP")), "not a readable picture"),
    "cut off in the header": (encoded(NOISE)[:20], "not a "),
    "damaged png": (encoded(NOISE).replace(b"IDAT", b"IDAZ"), "not a "),
    "nan pixels": (
        encoded(picture_of([0.0, np.nan, np.inf], np.float32), "TIFF"),
        "2 of 3 pixels are NaN or infinite",
    ),
    "over the limit": (png_of(8001, 8000, 8, 0, b""), f"8001x8000 pixels, at most {MAX_PIXELS} allowed"),
    "a bomb": (png_of(30_000, 30_000, 8, 0, b""), f"at most {MAX_PIXELS} pixels allowed .*900000000 pixels"),
}


@pytest.mark.parametrize(("content", "reason"), UNREADABLE_PICTURES.values(), ids=UNREADABLE_PICTURES.keys())
def test_unusable_pictures_are_refused_by_name_and_reason(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=rf"photo\.png: {reason}"):
        read_image(path)
    with pytest.raises(MediaError, match=f"^{len(content)} bytes: {reason}"):
        read_image(content)


@pytest.mark.parametrize("read", [read_image, read_audio])
def test_a_missing_file_is_named(read: Callable, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"nowhere\.flac: no such media file"):
        read(tmp_path / "nowhere.flac")
    with pytest.raises(MediaError, match="no such media file"):
        read(tmp_path)


SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]))


@given(arrays.arrays(np.uint8, SIZES, elements=st.integers(0, 255)))
def test_png_gives_the_picture_back(pixels: np.ndarray) -> None:
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    assert read_image(encode_png(pixels)).tolist() == pixels.tolist()


def sound(waveform: np.ndarray, rate: int = 8000, kind: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, waveform, rate, format=kind, subtype=subtype)
    return buffer.getvalue()


RAMP = np.linspace(-0.5, 0.5, 4001, dtype=np.float32)


@pytest.mark.parametrize("rate", [1000, 8000, 11_025, 44_100, 192_000])
@pytest.mark.parametrize(("kind", "subtype"), [("WAV", "FLOAT"), ("WAV", "PCM_16"), ("FLAC", "PCM_16")])
def test_sound_keeps_its_rate_and_samples(rate: int, kind: str, subtype: str) -> None:
    waveform, got_rate = read_audio(sound(RAMP, rate, kind, subtype))
    assert got_rate == rate
    assert waveform.dtype == np.float32
    np.testing.assert_allclose(waveform, RAMP, atol=2**-15)


@pytest.mark.parametrize("kind", ["OGG", "MP3"])
def test_lossy_sound_keeps_its_length(kind: str) -> None:
    waveform, rate = read_audio(sound(RAMP, 16_000, kind))
    assert (len(waveform), rate) == (4001, 16_000)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "DOUBLE", "ULAW"])
def test_samples_of_any_width_are_scaled_to_one(subtype: str) -> None:
    waveform, _ = read_audio(sound(RAMP, subtype=subtype))
    np.testing.assert_allclose(waveform, RAMP, atol=0.02)


def test_channels_are_averaged() -> None:
    channels = np.array([[0.5, 0.25, 0.0], [0.0, 0.0, 0.75], [-0.5, -0.5, -0.5]], np.float32)
    waveform, _ = read_audio(sound(channels, subtype="FLOAT"))
    assert waveform.tolist() == [0.25, 0.25, -0.5]


def test_channels_are_averaged_across_blocks_of_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omni.media._BLOCK_SAMPLES", 64)
    waveform, _ = read_audio(sound(np.stack([RAMP, -RAMP / 2], axis=1), subtype="FLOAT"))
    np.testing.assert_array_equal(waveform, RAMP / 4)


def test_sound_beyond_full_scale_is_scaled_down_to_it() -> None:
    waveform, _ = read_audio(sound(np.array([0.5, -2.0, 1.0], np.float32), subtype="FLOAT"))
    assert waveform.tolist() == [0.25, -1.0, 0.5]


def test_one_sample_is_enough() -> None:
    waveform, rate = read_audio(sound(RAMP[:1]))
    assert waveform.tolist() == [-0.5]
    assert len(resample(waveform, rate, 16_000)) == 2


def flac_that_claims(samples: int) -> bytes:
    """A FLAC file with another number of samples in its header: a field of 36 bits, 0 for not known."""
    content = bytearray(sound(RAMP, kind="FLAC"))
    field = int.from_bytes(content[18:26], "big")
    content[18:26] = (field >> 36 << 36 | samples).to_bytes(8, "big")
    return bytes(content)


def wav_that_claims(data_bytes: int) -> bytes:
    content = bytearray(sound(RAMP, subtype="PCM_16"))
    content[40:44] = data_bytes.to_bytes(4, "little")
    return bytes(content)


UNREADABLE_SOUNDS = {
    "empty": (b"", "damaged, cut off or no sound file"),
    "text": (b"I am not a sound\n" * 100, "damaged, cut off or no sound file"),
    "zero-length wav": (sound(RAMP[:0]), "zero-length audio"),
    "nan samples": (
        sound(np.array([0, np.nan, np.inf, 0.5], np.float32), subtype="FLOAT"),
        "2 of 4 samples are NaN or infinite",
    ),
    "too slow": (sound(RAMP, 500), "sample rate 500 Hz, expected 1000 to 768000"),
    "cut off flac": (half(sound(RAMP, kind="FLAC")), "damaged, cut off or no sound file"),
    "flac with a tail missing": (flac_that_claims(8000), "damaged, cut off or no sound file"),
    "flac of unknown length": (flac_that_claims(0), "the header doesn't say how long the sound is"),
    "cut off wav": (half(sound(RAMP)), r"cut off: 1989 samples, about 3\d\d\d by the header"),
    "cut off aiff": (half(sound(RAMP, kind="AIFF")), r"cut off: 1987 samples, about 3\d\d\d by the header"),
    "10 hours by its header": (
        flac_that_claims(8000 * 36_000),
        "36000 s of audio, at most 1800 s allowed; cut it first",
    ),
}


@pytest.mark.parametrize(("content", "reason"), UNREADABLE_SOUNDS.values(), ids=UNREADABLE_SOUNDS.keys())
def test_unusable_sounds_are_refused_by_name_and_reason(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "speech.wav"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=rf"speech\.wav: {reason}"):
        read_audio(path)
    with pytest.raises(MediaError, match=f"^{len(content)} bytes: {reason}"):
        read_audio(content)


def test_10_hours_of_sound_are_refused_before_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    samples = 36_000 * 8000
    header = bytearray(sound(RAMP[:0], subtype="PCM_U8"))
    header[4:8] = (36 + samples).to_bytes(4, "little")
    header[40:44] = samples.to_bytes(4, "little")
    with path.open("wb") as file:
        file.write(header)
        file.truncate(len(header) + samples)  # sparse: takes no room on the disk
    with pytest.raises(MediaError, match=r"long\.wav: 36000 s of audio, at most 1800 s allowed"):
        read_audio(path)


def test_a_length_that_no_header_tells_is_limited_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omni.media.MAX_AUDIO_SECONDS", 0.2)
    monkeypatch.setattr("omni.media._BLOCK_SAMPLES", 64)
    with pytest.raises(MediaError, match="over 0 s of audio, at most 0 s allowed"):
        read_audio(sound(RAMP, kind="MP3"))


@pytest.mark.parametrize("data_bytes", [0xFFFF_FFFF, 0x7FFF_F000])
def test_a_wav_written_to_a_pipe_is_read_to_its_end(data_bytes: int) -> None:
    waveform, _ = read_audio(wav_that_claims(data_bytes))
    np.testing.assert_allclose(waveform, RAMP, atol=2**-15)


def test_a_headerless_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "speech.raw"
    path.write_bytes(b"\0" * 100)
    with pytest.raises(MediaError, match=r"speech\.raw: damaged or no sound file"):
        read_audio(path)


def test_check_waveform_takes_good_sound() -> None:
    check_waveform(RAMP, 8000, "clip")


WAVEFORMS = arrays.arrays(np.float32, st.integers(1, 300), elements=st.floats(-1, 1, width=32))


@given(WAVEFORMS, st.integers(1000, 65_535))
def test_flac_gives_the_waveform_back_to_16_bits(waveform: np.ndarray, rate: int) -> None:
    got, got_rate = read_audio(encode_flac(waveform, rate))
    assert got_rate == rate
    np.testing.assert_allclose(got, waveform, atol=2**-15)


def test_only_good_sound_is_written_to_flac() -> None:
    with pytest.raises(MediaError, match="clip to store: zero-length audio"):
        encode_flac(RAMP[:0], 8000)
    with pytest.raises(MediaError, match="clip to store: 1 of 2 samples are NaN or infinite"):
        encode_flac(np.array([0, np.nan], np.float32), 8000)


@pytest.mark.parametrize("rate", [100_001, 655_351])
def test_a_rate_that_flac_cannot_hold_is_an_error(rate: int) -> None:
    with pytest.raises(MediaError, match=f"FLAC can't hold {rate} Hz .* resample the clip first"):
        encode_flac(RAMP, rate)


def test_write_wav_clips_to_16_bits(tmp_path: Path) -> None:
    write_wav(tmp_path / "clip.wav", np.array([2.0, -2.0, 0.5], np.float32), 8000)
    assert soundfile.info(tmp_path / "clip.wav").subtype == "PCM_16"
    assert read_audio(tmp_path / "clip.wav")[0].tolist() == [1 - 2**-15, -1.0, 0.5]


def test_resampling_keeps_a_tone() -> None:
    def tone(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)

    resampled = resample(tone(44_100), 44_100, 8000)
    assert resampled.dtype == np.float32
    assert len(resampled) == 8000
    np.testing.assert_allclose(resampled[100:-100], tone(8000)[100:-100], atol=0.01)
    assert resample(RAMP, 8000, 8000) is RAMP
