"""Media files to arrays: pictures of any kind to RGB uint8, sound of any kind to mono float32.

What is converted, and how: exif rotation is applied; 16-bit pictures are scaled to 8 bits; wider and float
grey is stretched to black..white; palette, CMYK and grey become RGB; transparency is laid on white; of an
animation the first frame is taken. Sound is mixed down to mono, scaled down where it is beyond full scale,
and kept at its own sample rate. What can't be used is a ``MediaError`` that says why.

Plain JPEGs are decoded by ``simplejpeg`` where it is installed, in about 0.6 of Pillow's time; both are libjpeg-turbo
with its exact DCT and give the same pixels (compared in ``benchmarks/decode.py`` and the tests; libjpeg-turbo keeps
them between versions, other libjpegs may differ by a grey level or two). All other files are Pillow's.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
from jaxtyping import Float, UInt8
from PIL import Image as PILImage
from PIL import ImageOps, UnidentifiedImageError
from scipy.signal import resample_poly

try:
    import simplejpeg
except ImportError:  # Pillow does the same, slower
    simplejpeg = None

MAX_PIXELS = 64_000_000
MAX_AUDIO_SECONDS = 30 * 60.0
PICTURE_FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000")
"""Formats that are read: none of them makes Pillow run another program, as PostScript does."""
_BLOCK_SAMPLES = 1 << 20  # over all channels; read at a time, so that a lying header can't fill the memory
_UNKNOWN_FRAMES = 1 << 62  # what libsndfile makes of a FLAC that was written to a pipe
_UNKNOWN_BYTES = 0x7FFF_0000  # from here on programs mean "not known" by the length of a WAV's data


Canvas = Callable[[int, int], UInt8[np.ndarray, "height width 3"]]
"""Gives memory for a picture of this height and width, where its decoder can write into it. It is asked at most once
a picture, and need not be filled afterwards: the pixels that come back say where they are."""


class MediaError(ValueError):
    """A picture or clip that can't be used; the message says what is wrong with it."""


def content_of(data: bytes | Path | str) -> bytes:
    """The content of a media file.

    Raises:
        MediaError: no such file, or it can't be read.
    """
    if isinstance(data, bytes):
        return data
    path = Path(data)
    if not path.is_file():
        raise MediaError(f"{path}: no such media file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise MediaError(f"{path}: can't be read ({error})") from error


def _source(data: bytes | Path | str) -> tuple[io.BytesIO | Path, str]:
    if isinstance(data, bytes):
        return io.BytesIO(data), f"{len(data)} bytes"
    path = Path(data)
    if not path.is_file():
        raise MediaError(f"{path}: no such media file")
    return path, str(path)


def read_image(data: bytes | Path | str, canvas: Canvas | None = None) -> UInt8[np.ndarray, "height width 3"]:
    """Decode a picture file (path or content) to RGB, uint8.

    Args:
        data: path or content.
        canvas: memory for the pixels of plain JPEGs; all others get memory of their own.

    Raises:
        MediaError: not a picture, damaged, or over ``MAX_PIXELS``.
    """
    content = content_of(data)
    if (pixels := _plain_jpeg(content, canvas)) is not None:
        return pixels
    name = f"{len(content)} bytes" if data is content else str(data)
    try:
        with PILImage.open(io.BytesIO(content), formats=PICTURE_FORMATS) as opened:
            if opened.width * opened.height > MAX_PIXELS:
                raise MediaError(f"{opened.width}x{opened.height} pixels, at most {MAX_PIXELS} allowed")
            return pixels_from_pil(opened)
    except MediaError as error:
        raise MediaError(f"{name}: {error}") from None
    except (PILImage.DecompressionBombError, PILImage.DecompressionBombWarning) as error:
        raise MediaError(f"{name}: at most {MAX_PIXELS} pixels allowed ({error})") from error
    except UnidentifiedImageError as error:
        raise MediaError(f"{name}: not a picture, expected one of {', '.join(PICTURE_FORMATS)}") from error
    except Exception as error:  # Pillow raises many kinds, among them struct.error and SyntaxError
        raise MediaError(f"{name}: not a readable picture ({type(error).__name__}: {error})") from error


def _plain_jpeg(data: bytes, canvas: Canvas | None = None) -> UInt8[np.ndarray, "height width 3"] | None:
    """Pixels of a sound, upright JPEG in colour or grey; ``None`` leaves any other to Pillow, and to its verdict."""
    if simplejpeg is None or not data.startswith(b"\xff\xd8\xff"):
        return None
    if b"Exif\0\0" in data or b"tiff:Orientation" in data:  # may be turned
        return None
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
        if colours not in ("YCbCr", "Gray") or height * width > MAX_PIXELS:
            return None
        return simplejpeg.decode_jpeg(data, "RGB", buffer=None if canvas is None else canvas(height, width))
    except ValueError:  # damaged, or of a kind that libjpeg-turbo doesn't know
        return None


def pixels_from_pil(picture: PILImage.Image) -> UInt8[np.ndarray, "height width 3"]:
    """Any Pillow picture as RGB, uint8, the right way up.

    Raises:
        MediaError: float pixels that are NaN or infinite.
    """
    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I") or picture.mode == "F":
        return _deep_grey(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = PILImage.alpha_composite(PILImage.new("RGBA", picture.size, (255, 255, 255, 255)), picture)
    return np.array(picture.convert("RGB"), dtype=np.uint8)


def _deep_grey(picture: PILImage.Image) -> UInt8[np.ndarray, "height width 3"]:
    """Grey of 16 bits scaled to 8; wider or float grey, of unknown range, stretched to black..white."""
    values = np.asarray(picture).astype(np.float64)
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise MediaError(f"{bad} of {values.size} pixels are NaN or infinite")
    low, high = values.min(), values.max()
    if picture.mode != "F" and low >= 0 and high <= 65535:
        low, high = 0.0, 65535.0
    grey = np.rint((values - low) / (high - low or 1.0) * 255.0).astype(np.uint8)
    grey[values == picture.info.get("transparency")] = 255
    return np.repeat(grey[:, :, None], 3, axis=2)


def read_audio(
    data: bytes | Path | str, most_seconds: float | None = None
) -> tuple[Float[np.ndarray, " W"], int]:
    """Decode a sound file (path or content) to a mono float32 waveform in [-1, 1] and its sample rate in Hz.

    Raises:
        MediaError: not a sound file, damaged, cut off, empty, longer than ``most_seconds`` (by default
            ``MAX_AUDIO_SECONDS``), NaN samples.
    """
    source, name = _source(data)
    try:
        with soundfile.SoundFile(source) as file:
            rate = file.samplerate
            waveform_W = _decode_mono(file, most_seconds or MAX_AUDIO_SECONDS)
    except MediaError as error:
        raise MediaError(f"{name}: {error}") from None
    except soundfile.LibsndfileError as error:
        raise MediaError(f"{name}: damaged, cut off or no sound file ({error.error_string})") from error
    except (RuntimeError, TypeError) as error:  # TypeError: a name that ends in .raw
        raise MediaError(f"{name}: damaged or no sound file ({error})") from error
    check_waveform(waveform_W, rate, name)
    return waveform_W / max(1.0, float(np.abs(waveform_W).max())), rate


def _decode_mono(file: soundfile.SoundFile, most_seconds: float) -> Float[np.ndarray, " W"]:
    limit = int(most_seconds * file.samplerate)
    too_long = f"s of audio, at most {most_seconds:.0f} s allowed; cut it first"
    declared = _declared_frames(file)
    if declared is not None and declared > limit:
        raise MediaError(f"{declared / file.samplerate:.0f} {too_long}")
    blocks = [np.zeros(0, np.float32)]
    decoded = 0
    while len(block := file.read(max(1, _BLOCK_SAMPLES // file.channels), dtype="float32", always_2d=True)):
        blocks.append(block.mean(axis=1))
        decoded += len(block)
        if decoded > limit:
            raise MediaError(f"over {most_seconds:.0f} {too_long}")
    if declared is not None and decoded < 0.99 * declared:  # headers that are off by a few samples are common
        raise MediaError(f"cut off: {decoded} samples, about {declared} by the header")
    return np.concatenate(blocks)


def _declared_frames(file: soundfile.SoundFile) -> int | None:
    """Length by the header; ``None`` for MP3, where it is an estimate."""
    if file.format == "MP3":
        return None
    if file.frames >= _UNKNOWN_FRAMES:
        raise MediaError("the header doesn't say how long the sound is; encode it to a file, not to a pipe")
    # libsndfile quietly lowers ``frames`` to what a cut-off WAV or AIFF still holds, and notes it in its log
    cut = re.search(r"^ *(?:data|SSND) : (\d+) \(should be (\d+)\)", file.extra_info, re.MULTILINE)
    if cut is None or int(cut[1]) >= _UNKNOWN_BYTES or int(cut[2]) == 0:
        return file.frames
    return file.frames * int(cut[1]) // int(cut[2])


def check_waveform(waveform_W: Float[np.ndarray, " W"], sample_rate: int, name: str) -> None:
    """Raise ``MediaError`` for a clip that is empty, has NaN or infinite samples or no sensible rate."""
    if len(waveform_W) == 0:
        raise MediaError(f"{name}: zero-length audio")
    if not np.isfinite(waveform_W).all():
        bad = int((~np.isfinite(waveform_W)).sum())
        raise MediaError(f"{name}: {bad} of {len(waveform_W)} samples are NaN or infinite")
    if not 1_000 <= sample_rate <= 768_000:
        raise MediaError(f"{name}: sample rate {sample_rate} Hz, expected 1000 to 768000")


def resample(waveform_W: Float[np.ndarray, " W"], rate: int, wanted: int) -> Float[np.ndarray, " V"]:
    """The waveform at ``wanted`` Hz (polyphase filter)."""
    if rate == wanted:
        return waveform_W.astype(np.float32, copy=False)
    common = math.gcd(rate, wanted)
    return resample_poly(waveform_W, wanted // common, rate // common).astype(np.float32)


def write_wav(path: Path | str, waveform_W: Float[np.ndarray, " W"], sample_rate: int) -> None:
    """Write a 16-bit WAV file."""
    soundfile.write(path, np.clip(waveform_W, -1, 1), sample_rate, subtype="PCM_16")


def encode_flac(waveform_W: Float[np.ndarray, " W"], sample_rate: int) -> bytes:
    """The waveform as a 16-bit FLAC file.

    Raises:
        MediaError: no good clip, or a rate that FLAC can't hold (over 65535 Hz: multiples of 10 to 655350).
    """
    check_waveform(waveform_W, sample_rate, "clip to store")
    buffer = io.BytesIO()
    try:
        soundfile.write(buffer, np.clip(waveform_W, -1, 1), sample_rate, format="FLAC", subtype="PCM_16")
    except soundfile.LibsndfileError as error:
        reason = error.error_string
        raise MediaError(f"FLAC can't hold {sample_rate} Hz ({reason}); resample the clip first") from error
    return buffer.getvalue()


def encode_png(pixels: UInt8[np.ndarray, "height width 3"]) -> bytes:
    """The picture as a PNG file; grey pictures are stored as grey."""
    grey = bool((pixels[..., 0] == pixels[..., 1]).all() and (pixels[..., 0] == pixels[..., 2]).all())
    buffer = io.BytesIO()
    PILImage.fromarray(pixels[..., 0] if grey else pixels).save(buffer, format="PNG")
    return buffer.getvalue()
