"""The outline of a document: its texts, and of pictures and clips only the sizes, from the JSON alone.

An outline is a ``Document`` whose arrays are hollow: of the right shape, all of one value, and without memory of
their own. It is what ``Layout.measure`` needs, and costs no decoding. Where the JSON lacks a size, the header of
the media file is read (an MP3 is decoded: its header only estimates).
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from jaxtyping import Float, Int, UInt8
from PIL import Image as PILImage

from omni.datamodules.shards.fields import count_field, string_field, turn_fields
from omni.datamodules.shards.format import FILE_FIELDS, Media, head_of, media_error, modality_of, stored_codes
from omni.media import MAX_AUDIO_SECONDS, MAX_PIXELS, PICTURE_FORMATS, MediaError, read_audio
from omni.modality import AUDIO, IMAGE, TEXT
from omni.sequence import Audio, Document, Image, Segment, Text

_EXIF_ORIENTATION = 0x0112
_TRANSPOSED = (5, 6, 7, 8)
"""Values of the exif orientation that swap width and height."""
_EXACT_HEADERS = ("WAV", "WAVEX", "FLAC", "OGG", "AIFF")
"""Sound files whose header gives the number of samples that decoding gives."""


def outline_from(
    head: Mapping[str, Any], where: str, media: Media, *, key: str, shard: str = "", codec: str | None = None
) -> Document:
    """The outline of the document that a JSON object describes; arguments as of ``document_from``.

    Raises:
        DocumentError: a field is missing or wrong, or the header of a file that had to be read.
    """
    found = head_of(head, where)
    segments = [
        outline_segment(entry, f"{where}segments[{n}]", media, codec)
        for n, entry in enumerate(found.segments)
    ]
    return Document(tuple(segments), key=key, source=found.source, label=found.label, shard=shard)


def outline_segment(entry: Any, where: str, media: Media, codec: str | None) -> Segment:
    """The outline of one segment.

    Raises:
        DocumentError: see ``outline_from``.
    """
    modality = modality_of(entry, where)
    role, loss = turn_fields(entry, where)
    if modality is TEXT:
        return Text(string_field(entry, "text", f"{where}."), role=role, loss=loss)
    name = string_field(entry, "file", f"{where}.")
    try:
        if modality is IMAGE:
            return Image(_hollow_pixels(*_picture_size(entry, where, media, name)), role=role, loss=loss)
        assert modality is AUDIO, modality
        samples, rate = _clip_size(entry, where, media, name)
    except MediaError as error:
        raise media_error(f"{where}.file", name, error) from error
    return Audio(_hollow_wave(samples), rate, _codes(entry, where, media, codec), role=role, loss=loss)


def _picture_size(entry: Mapping[str, Any], where: str, media: Media, name: str) -> tuple[int, int]:
    """Height and width."""
    height, width = (count_field(entry, side, f"{where}.") for side in ("height", "width"))
    if height is None or width is None:
        height, width = picture_header(media(name))
    if height * width > MAX_PIXELS:
        raise MediaError(f"{width}x{height} pixels, at most {MAX_PIXELS} allowed")
    return height, width


def picture_header(content: bytes | Path) -> tuple[int, int]:
    """Height and width of the decoded picture, from the file's header.

    Raises:
        MediaError: not a picture.
    """
    try:
        source = io.BytesIO(content) if isinstance(content, bytes) else content
        with PILImage.open(source, formats=PICTURE_FORMATS) as opened:
            width, height = opened.size
            turned = opened.getexif().get(_EXIF_ORIENTATION) in _TRANSPOSED
    except Exception as error:  # Pillow raises many kinds, among them struct.error and SyntaxError
        raise MediaError(f"no header of a picture ({type(error).__name__}: {error})") from error
    return (width, height) if turned else (height, width)


def _clip_size(entry: Mapping[str, Any], where: str, media: Media, name: str) -> tuple[int, int]:
    """Samples and sample rate."""
    samples, rate = (count_field(entry, field, f"{where}.") for field in ("samples", "sample_rate"))
    if samples is None or rate is None:
        samples, rate = sound_header(media(name))
    if samples > MAX_AUDIO_SECONDS * rate:
        raise MediaError(f"{samples / rate:.0f} s of audio, at most {MAX_AUDIO_SECONDS:.0f} s allowed")
    return samples, rate


def sound_header(content: bytes | Path) -> tuple[int, int]:
    """Samples and sample rate of the decoded clip, from the file's header where that is exact.

    Raises:
        MediaError: not a sound file.
    """
    try:
        with soundfile.SoundFile(io.BytesIO(content) if isinstance(content, bytes) else content) as file:
            if file.format in _EXACT_HEADERS:
                return file.frames, file.samplerate
    except soundfile.LibsndfileError as error:
        raise MediaError(f"no sound file ({error.error_string})") from error
    waveform_W, rate = read_audio(content)
    return len(waveform_W), rate


def _codes(
    entry: Mapping[str, Any], where: str, media: Media, codec: str | None
) -> Int[np.ndarray, "F K"] | None:
    frames, codebooks = (count_field(entry, name, f"{where}.") for name in ("frames", "codebooks"))
    if codec is None or entry.get("codec") != codec or frames is None or codebooks is None:
        return stored_codes(entry, where, media, codec)
    return np.broadcast_to(np.int64(0), (frames, codebooks))


def _hollow_pixels(height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
    return np.broadcast_to(np.uint8(0), (height, width, 3))


def _hollow_wave(samples: int) -> Float[np.ndarray, " W"]:
    return np.broadcast_to(np.float32(0), (samples,))


def names_of(segments: list[Any]) -> set[str]:
    """The files that the segments of a JSON name, well-formed or not."""
    fields = (entry.get(name) for entry in segments if isinstance(entry, dict) for name in FILE_FIELDS)
    return {value for value in fields if isinstance(value, str)}
