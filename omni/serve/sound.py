"""Clips as files in the formats that clients ask for, as they come where the format allows."""

from __future__ import annotations

import io
import struct
from abc import ABC, abstractmethod

import numpy as np
import soundfile
from jaxtyping import Float

from omni.media import resample
from omni.serve.resampler import StreamResampler

PCM_RATE = 24_000
"""Hz of raw samples, which have no header to say it: OpenAI's."""
OPUS_RATE = 24_000
"""Hz; Opus knows few rates."""
UNKNOWN = 0x7FFF_FFFF
"""Length in the header of a WAV that is not at its end."""

MEDIA_TYPES = {
    "wav": "audio/wav",
    "mp3": "audio/mpeg",
    "flac": "audio/flac",
    "opus": "audio/ogg",
    "pcm": "audio/pcm",
    "pcm16": "audio/pcm",
}
"""Formats, and what they are called in HTTP."""
_FILES = {"mp3": ("MP3", "MPEG_LAYER_III"), "flac": ("FLAC", "PCM_16"), "opus": ("OGG", "OPUS")}


class SoundEncoder(ABC):
    """Makes a file of the pieces of a clip."""

    @abstractmethod
    def push(self, waveform_W: Float[np.ndarray, " W"]) -> bytes:
        """Take samples in [-1, 1]; returns the bytes of the file that are known by now."""

    @abstractmethod
    def flush(self) -> bytes:
        """The rest of the file."""


def encoder_of(format_: str, rate: int) -> SoundEncoder:
    """An encoder for ``format_``, one of ``MEDIA_TYPES``, of samples at ``rate`` Hz."""
    if format_ in ("pcm", "pcm16"):
        return _Pcm(rate)
    return _Wav(rate) if format_ == "wav" else _Whole(format_, rate)


def encode_sound(waveform_W: Float[np.ndarray, " W"], rate: int, format_: str) -> bytes:
    """A whole clip as a file; of a WAV the header says how long it is."""
    if format_ == "wav":
        samples = pcm16(waveform_W)
        return wav_header(rate, len(samples)) + samples
    encoder = encoder_of(format_, rate)
    return encoder.push(waveform_W) + encoder.flush()


def pcm16(waveform_W: Float[np.ndarray, " W"]) -> bytes:
    """Samples as 16-bit little-endian integers."""
    return np.rint(np.clip(waveform_W, -1, 1) * 32767).astype("<i2").tobytes()


def wav_header(rate: int, length: int) -> bytes:
    """The 44 bytes before ``length`` bytes of 16-bit mono samples."""
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + length, b"WAVE") + form + struct.pack("<4sI", b"data", length)


class _Pcm(SoundEncoder):
    def __init__(self, rate: int) -> None:
        self._resampler = StreamResampler(rate, PCM_RATE)

    def push(self, waveform_W: Float[np.ndarray, " W"]) -> bytes:
        return pcm16(self._resampler.push(waveform_W))

    def flush(self) -> bytes:
        return pcm16(self._resampler.flush())


class _Wav(SoundEncoder):
    """A WAV that is sent while it grows; players take the length of its header for unknown."""

    def __init__(self, rate: int) -> None:
        self._header = wav_header(rate, UNKNOWN - 36)

    def push(self, waveform_W: Float[np.ndarray, " W"]) -> bytes:
        header, self._header = self._header, b""
        return header + pcm16(waveform_W)

    def flush(self) -> bytes:
        return self.push(np.zeros(0, np.float32))


class _Whole(SoundEncoder):
    """A file that is made when all is there."""

    def __init__(self, format_: str, rate: int) -> None:
        self.format, self.rate = format_, rate
        self._parts = [np.zeros(0, np.float32)]

    def push(self, waveform_W: Float[np.ndarray, " W"]) -> bytes:
        self._parts.append(waveform_W)
        return b""

    def flush(self) -> bytes:
        waveform_W, rate = np.clip(np.concatenate(self._parts), -1, 1), self.rate
        if self.format == "opus":
            waveform_W, rate = resample(waveform_W, rate, OPUS_RATE), OPUS_RATE
        kind, subtype = _FILES[self.format]
        buffer = io.BytesIO()
        soundfile.write(buffer, waveform_W, rate, format=kind, subtype=subtype)
        return buffer.getvalue()
