"""The file of a picture or clip in a shard: the one that it came in where that loses nothing, else PNG and FLAC.

A file is kept byte for byte where it decodes to the segment's pixels or samples and nothing else is done to it: JPEG,
PNG and WebP in grey or RGB, upright, opaque and still; FLAC with one channel. So a photograph stays the
JPEG that it was, a tenth of its PNG. A WAV of 16 bits or fewer becomes a FLAC of the same samples.
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
    if audio.file is not None and _is_mono_flac(audio.file):
        waveform_W, rate = read_audio(audio.file)
        if rate == audio.sample_rate and np.array_equal(waveform_W, audio.waveform):
            return str(AUDIO.media_suffix), audio.file
    return str(AUDIO.media_suffix), encode_flac(audio.waveform, audio.sample_rate)


def _is_mono_flac(file: bytes) -> bool:
    try:
        info = soundfile.info(io.BytesIO(file))
    except soundfile.LibsndfileError:
        return False
    return bool(info.format == "FLAC" and info.channels == 1)
