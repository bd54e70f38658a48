"""The interface of audio codecs: a waveform in, K residual codes per frame out, and back."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float, Int

from omni.media import resample
from omni.sequence import Audio

CODEC_FILE = "codec.json"


class StreamDecoder(ABC):
    """Turns frames into sound while they are still being generated."""

    @abstractmethod
    def push(self, codes_FK: Int[np.ndarray, "F K"]) -> Float[np.ndarray, " W"]:
        """Take the next frames and return the samples that are final by now (maybe none)."""

    @abstractmethod
    def flush(self) -> Float[np.ndarray, " W"]:
        """Return the samples that were held back. All chunks together have ``F * samples_per_frame``."""


class AudioCodec(ABC):
    """A residual-vector-quantising codec. Waveforms are mono float32 in [-1, 1] at ``sample_rate``."""

    kind: ClassVar[str]
    """Name in ``codec.json``, by which ``load_codec`` finds the class."""
    sample_rate: int
    samples_per_frame: int
    codebooks: int
    """K: codes per frame."""
    codebook_size: int
    """Q: every code is in [0, Q)."""

    @property
    def frame_rate(self) -> float:
        """Frames per second."""
        return self.sample_rate / self.samples_per_frame

    @abstractmethod
    def encode(self, waveform_W: Float[np.ndarray, " W"]) -> Int[np.ndarray, "F K"]:
        """Codes of a waveform, int64; F = ceil(W / samples_per_frame)."""

    @abstractmethod
    def decode(self, codes_FK: Int[np.ndarray, "F K"]) -> Float[np.ndarray, " W"]:
        """Waveform of the codes, float32, W = F * samples_per_frame."""

    @abstractmethod
    def stream(self) -> StreamDecoder:
        """A fresh streaming decoder."""

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """Everything ``from_files`` needs, by file name, ``codec.json`` (with ``kind``) among them. No pickle."""

    @classmethod
    @abstractmethod
    def from_files(cls, files: Mapping[str, bytes]) -> AudioCodec:
        """The codec that ``files()`` described."""

    @property
    def fingerprint(self) -> str:
        """16 hex digits that change whenever the codes of a waveform could."""
        digest = hashlib.sha256()
        for name, content in sorted(self.files().items()):
            digest.update(name.encode() + b"\0" + content)
        return digest.hexdigest()[:16]

    def encode_audio(self, audio: Audio) -> Int[np.ndarray, "F K"]:
        """Codes of a clip at any sample rate; codes that the clip already carries are returned as they are."""
        if audio.codes is not None:
            return audio.codes
        return self.encode(resample(audio.waveform, audio.sample_rate, self.sample_rate))

    def decode_audio(self, codes_FK: Int[np.ndarray, "F K"]) -> Audio:
        """The codes as a clip."""
        return Audio(self.decode(codes_FK), self.sample_rate, codes=codes_FK)

    def save(self, folder: Path | str) -> None:
        """Write ``files()`` into ``folder``."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files().items():
            (folder / name).write_bytes(content)


def codec_json(kind: str, settings: Mapping[str, Any]) -> bytes:
    """Content of ``codec.json``."""
    return json.dumps({"kind": kind, **settings}, indent=1, sort_keys=True).encode()
