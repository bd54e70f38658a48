"""Files of pictures and clips in shards: kept byte for byte where that loses and hides nothing."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image as PILImage

from omni.datamodules.shards.format import from_members, to_members
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.stored_media import picture_file, sound_file
from omni.datamodules.shards.writer import write_shards
from omni.media import read_audio, read_image
from omni.sequence import Audio, Document, Image
from tests.tiny import picture


def saved(pixels: np.ndarray, kind: str, mode: str = "RGB", **settings: object) -> bytes:
    buffer = io.BytesIO()
    PILImage.fromarray(pixels).convert(mode).save(buffer, kind, **settings)
    return buffer.getvalue()


def turned() -> bytes:
    exif = PILImage.Exif()
    exif[0x0112] = 6
    return saved(PIXELS, "JPEG", exif=exif)


def animated() -> bytes:
    frames = [PILImage.fromarray(picture(digit, 20, 30)) for digit in (1, 2)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    return buffer.getvalue()


PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
KEPT = {
    "jpg": saved(PIXELS, "JPEG"),
    "grey jpg": saved(PIXELS, "JPEG", "L"),
    "upright jpg": saved(PIXELS, "JPEG", exif=PILImage.Exif()),
    "png": saved(PIXELS, "PNG"),
    "grey png": saved(PIXELS, "PNG", "L"),
    "webp": saved(PIXELS, "WEBP"),
}
CONVERTED = {
    "turned": turned(),
    "CMYK": saved(PIXELS, "JPEG", "CMYK"),
    "palette": saved(PIXELS, "PNG", "P"),
    "transparent": saved(PIXELS, "PNG", "RGBA"),
    "deep": saved(PIXELS[..., 0].astype(np.int32) * 200, "PNG", "I;16"),
    "animated": animated(),
    "gif": saved(PIXELS, "GIF"),
    "bmp": saved(PIXELS, "BMP"),
}


@pytest.mark.parametrize("name", KEPT)
def test_a_picture_keeps_its_file(name: str) -> None:
    suffix, content = picture_file(Image.open(KEPT[name]))
    assert suffix == name.split()[-1] and content == KEPT[name]


@pytest.mark.parametrize("name", CONVERTED)
def test_a_picture_that_is_converted_becomes_a_png_of_the_same_pixels(name: str) -> None:
    image = Image.open(CONVERTED[name])
    suffix, content = picture_file(image)
    assert suffix == "png" and content != CONVERTED[name]
    assert np.array_equal(read_image(content), image.pixels)


def test_pixels_that_are_not_the_file_s_are_what_is_stored() -> None:
    """A file is no more than a hint: what was done to the pixels since is never lost."""
    image = Image.open(KEPT["png"])
    darker = replace(image, pixels=image.pixels // 2)
    suffix, content = picture_file(darker)
    assert suffix == "png" and np.array_equal(read_image(content), darker.pixels)


def sound(kind: str, subtype: str, channels: int = 1, rate: int = 16_000) -> bytes:
    wave = np.random.default_rng(1).integers(-(2**31), 2**31, (800, channels)).astype(np.int32)
    buffer = io.BytesIO()
    soundfile.write(buffer, wave, rate, subtype, format=kind)
    return buffer.getvalue()


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_S8"])
def test_a_flac_keeps_its_file(subtype: str) -> None:
    file = sound("FLAC", subtype)
    assert sound_file(Audio.open(file)) == ("flac", file)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8", "ULAW"])
def test_a_wav_of_few_bits_becomes_a_flac_of_the_same_samples(subtype: str) -> None:
    clip = Audio.open(sound("WAV", subtype))
    suffix, content = sound_file(clip)
    waveform_W, rate = read_audio(content)
    assert suffix == "flac" and rate == 16_000 and np.array_equal(waveform_W, clip.waveform)


@pytest.mark.parametrize(
    "file",
    [sound("FLAC", "PCM_16", 2), sound("WAV", "PCM_16", 2), sound("WAV", "FLOAT")],
    ids=("stereo FLAC", "stereo WAV", "float WAV"),
)
def test_other_clips_become_flac_of_16_bits(file: bytes) -> None:
    clip = Audio.open(file)
    suffix, content = sound_file(clip)
    assert suffix == "flac" and content != file
    assert soundfile.info(io.BytesIO(content)).subtype == "PCM_16"
    assert np.abs(read_audio(content)[0] - clip.waveform).max() < 2 / 2**15


def test_a_clip_cut_after_it_was_read_is_stored_as_it_is_now() -> None:
    clip = Audio.open(sound("FLAC", "PCM_16"))
    cut = replace(clip, waveform=clip.waveform[:100])
    assert len(read_audio(sound_file(cut)[1])[0]) == 100


def test_what_was_read_from_a_shard_is_written_as_it_was(tmp_path: Path) -> None:
    """Through shards and back, members don't change: neither the JPEG nor the 24-bit FLAC."""
    document = Document((Image.open(KEPT["jpg"]), Audio.open(sound("FLAC", "PCM_24"))), key="a")
    members = to_members(document)
    assert list(members) == ["json", "0.jpg", "1.flac"] and members["0.jpg"] == KEPT["jpg"]
    assert to_members(from_members("a", members, "shard")) == members
    write_shards([document], tmp_path)
    assert ShardReader(tmp_path).members(0) == members
