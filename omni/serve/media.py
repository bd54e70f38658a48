"""Pictures and clips that clients send: the header is looked at before anything is decoded."""

from __future__ import annotations

import base64
import binascii
import io

import soundfile
from PIL import Image as PILImage
from PIL import UnidentifiedImageError

from omni.media import MediaError, read_audio, read_image
from omni.sequence import Audio, Image
from omni.serve.errors import invalid
from omni.serve.settings import Limits

PICTURES = ("PNG", "JPEG", "WEBP", "GIF")
"""Formats of pictures, as Pillow calls them."""
CLIPS = ("WAV", "WAVEX", "MP3", "FLAC", "OGG")
"""Formats of clips, as libsndfile calls them."""
UNKNOWN_LENGTH = 1 << 62
"""Samples that libsndfile tells of a file whose header has no length."""


def from_base64(data: str, param: str) -> bytes:
    """The bytes that base64 stands for; missing padding is forgiven."""
    text = "".join(data.split())
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"no base64: {error}", param, "invalid_base64") from None


def picture_of(content: bytes, limits: Limits, param: str) -> Image:
    """Decode a picture.

    Raises:
        ApiError: 400 for another format, too many pixels, or a damaged file.
    """
    try:
        with PILImage.open(io.BytesIO(content), formats=PICTURES) as opened:
            width, height = opened.size
    except UnidentifiedImageError:
        message = (
            f"{len(content)} bytes are no picture of a known format: expected one of {_listed(PICTURES)}"
        )
        raise invalid(message, param, "invalid_image_format") from None
    except Exception as error:  # Pillow raises many kinds for damaged headers, and for far too many pixels
        raise invalid(f"no readable picture: {type(error).__name__}", param, "invalid_image") from None
    if width * height > limits.megapixels * 1_000_000:
        message = f"{width} x {height} pixels, at most {limits.megapixels:g} million are taken: scale it down"
        raise invalid(message, param, "image_too_large")
    try:
        return Image(read_image(content))
    except MediaError as error:
        raise invalid(str(error), param, "invalid_image") from None


def clip_of(content: bytes, limits: Limits, param: str, declared: str | None = None) -> Audio:
    """Decode a clip; ``declared`` is the format that the client says it is.

    Raises:
        ApiError: 400 for another format than is known or declared, a clip that is too long, or a damaged file.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(content)) as file:
            format_, seconds = file.format, file.frames / file.samplerate
            estimated = file.format == "MP3" or file.frames >= UNKNOWN_LENGTH
    except (RuntimeError, TypeError, ValueError, ZeroDivisionError) as error:
        message = (
            f"{len(content)} bytes are no clip of a known format: expected one of {_listed(CLIPS)} ({error})"
        )
        raise invalid(message, param, "invalid_audio_format") from None
    if format_ not in CLIPS:
        raise invalid(
            f"{format_} is not taken: expected one of {_listed(CLIPS)}", param, "invalid_audio_format"
        )
    if declared is not None and declared.upper() != format_.removesuffix("EX"):
        raise invalid(
            f"the format is said to be {declared}, but it is {format_}", param, "invalid_audio_format"
        )
    if seconds > limits.audio_seconds and not estimated:
        message = f"{seconds:.1f} s of sound, at most {limits.audio_seconds:g} s are taken: cut it first"
        raise invalid(message, param, "audio_too_long")
    try:
        return Audio(*read_audio(content, limits.audio_seconds))
    except MediaError as error:
        raise invalid(str(error), param, "invalid_audio") from None


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names)
