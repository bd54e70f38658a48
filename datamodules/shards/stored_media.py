"""The file of a picture or clip in a shard: the one that it came in where that loses nothing, else PNG and FLAC.

A file is kept byte for byte where it decodes to the segment's pixels or samples and nothing else is done to it: JPEG,
PNG and WebP in grey or RGB of 8 bits, upright, opaque and still; FLAC with one channel. So a photograph stays the
JPEG that it was, a tenth of its PNG. A WAV of 16 bits or fewer becomes the FLAC of the same samples.
"""

from __future__ import annotations

import io

import numpy as np
import soundfile
from PIL import Image as PILImage

from omni.media import encode_flac, encode_png, read_audio, read_image
from omni.modality import AUDIO, IMAGE
from omni.sequence import Audio, Image

KEPT_PICTURES = {"JPEG": "jpg", "PNG": "png", "WEBP": "webp"}
"""Pillow's name of a format to the suffix of its files."""
_ORIENTATION, _UPRIGHT = 0x0112, 1
_FLAC, _WAVS = "FLAC", ("WAV", "WAVEX", "RF64")


def picture_file(image: Image) -> tuple[str, bytes]:
    """Suffix and content of a picture's file.

    Raises:
        ValueError: the picture can't be stored.
    """
    suffix = None if image.file is None else _as_it_is(image.file)
    if image.file is not None and suffix is not None and np.array_equal(read_image(image.file), image.pixels):
        return suffix, image.file
    return str(IMAGE.media_suffix), encode_png(image.pixels)


def _as_it_is(file: bytes) -> str | None:
    """Suffix of a picture that any program decodes to what we do; ``None`` where something is to be done to it."""
    try:
        with PILImage.open(io.BytesIO(file), formats=tuple(KEPT_PICTURES)) as picture:
            plain = picture.mode in ("RGB", "L") and not picture.has_transparency_data
            still = getattr(picture, "n_frames", 1) == 1
            upright = picture.getexif().get(_ORIENTATION, _UPRIGHT) == _UPRIGHT
            return KEPT_PICTURES.get(picture.format or "") if plain and still and upright else None
    except Exception:  # of another kind; what Pillow raises has no common base
        return None


def sound_file(audio: Audio) -> tuple[str, bytes]:
    """Suffix and content of a clip's file.

    Raises:
        ValueError: the clip can't be stored.
    """
    file = None if audio.file is None else _same_samples(audio.file)
    if file is not None:
        waveform_W, rate = read_audio(file)
        if rate == audio.sample_rate and np.array_equal(waveform_W, audio.waveform):
            return str(AUDIO.media_suffix), file
    return str(AUDIO.media_suffix), encode_flac(audio.waveform, audio.sample_rate)


def _same_samples(file: bytes) -> bytes | None:
    """A FLAC with the samples of a file of one channel; ``None`` where there can't be one."""
    try:
        with soundfile.SoundFile(io.BytesIO(file)) as sound:
            if sound.channels != 1 or sound.format not in (_FLAC, *_WAVS):
                return None
            if sound.format == _FLAC:
                return file
            buffer = io.BytesIO()
            soundfile.write(buffer, sound.read(dtype="int16"), sound.samplerate, "PCM_16", format=_FLAC)
            return buffer.getvalue()
    except (
        soundfile.LibsndfileError,
        RuntimeError,
        TypeError,
    ):  # no sound file, or a rate that FLAC can't hold
        return None
