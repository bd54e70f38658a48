"""The spectral codec: log-magnitude frames, PCA, residual k-means; sound again by Griffin-Lim.

It fits in seconds on a CPU and keeps speech intelligible at 25 frames/s. Phases are not coded, so the
waveform differs from the original: signal-to-noise ratio says nothing about it, intelligibility does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from omni.media import check_waveform
from omni.tokenizers.audio.arrays import check_codes, npy_bytes, padded_to_frames
from omni.tokenizers.audio.base import CODEC_FILE, AudioCodec, StreamDecoder, codec_json
from omni.tokenizers.audio.codec_files import codec_array, codec_config
from omni.tokenizers.audio.residual import codes_to_points, fit_residual_codebooks, residual_codes
from omni.tokenizers.audio.stft import Stft, griffin_lim

ARRAYS = ("mean", "basis", "codebooks")


@dataclass(frozen=True, kw_only=True)
class SpectralConfig:
    """Settings of a spectral codec. The defaults suit speech on a telephone line."""

    sample_rate: int = 8_000
    """Hz of the waveforms."""
    n_fft: int = 256
    """Samples under a Fourier window."""
    hop: int = 80
    """Samples between two columns of the spectrogram."""
    columns_per_frame: int = 4
    """Columns that share one frame; 4 x 80 samples at 8 kHz make 25 frames a second."""
    components: int = 64
    """Principal components kept of a frame."""
    codebooks: int = 6
    """K: codes per frame."""
    codebook_size: int = 256
    """Q: values of a code."""
    floor: float = 0.01
    """Added to magnitudes before the logarithm; quieter parts count as silence."""
    fit_frames: int = 20_000
    """Frames that the components and codebooks are fitted to, drawn from all recordings."""
    fit_iterations: int = 20
    """Rounds of k-means for each codebook."""
    phase_iterations: int = 48
    """Rounds of Griffin-Lim when decoding."""
    phase_momentum: float = 0.99
    """Momentum of Griffin-Lim; 0 is the classic algorithm."""

    def __post_init__(self) -> None:
        width = self.columns_per_frame * (self.n_fft // 2 + 1)
        if not 1 <= self.components <= width:
            raise ValueError(f"components is {self.components}, expected 1 to {width}, the values of a frame")
        if not 1 <= self.hop <= self.n_fft // 2:
            raise ValueError(f"hop is {self.hop}, expected 1 to n_fft / 2 = {self.n_fft // 2}")
        if not 2 <= self.codebook_size <= 65_536:
            raise ValueError(f"codebook_size is {self.codebook_size}, expected 2 to 65536")
        if self.codebooks < 1:
            raise ValueError(f"codebooks is {self.codebooks}, expected at least 1")

    @classmethod
    def at(cls, sample_rate: int, **settings: Any) -> SpectralConfig:
        """The defaults for another sample rate: windows of as many seconds, so again 25 frames a second.

        Raises:
            ValueError: the rate is no multiple of 100 Hz, or a setting is out of range.
        """
        if sample_rate < 1_000 or sample_rate % 100:
            raise ValueError(
                f"sample rate {sample_rate} Hz: a spectral codec needs a multiple of 100, at least 1000"
            )
        return cls(
            sample_rate=sample_rate, n_fft=sample_rate * 2 // 125 * 2, hop=sample_rate // 100, **settings
        )  # type: ignore[arg-type]


class SpectralCodec(AudioCodec):
    """Codec of log-magnitude spectrogram frames. Make one with ``fit``."""

    kind: ClassVar[str] = "spectral"

    def __init__(
        self,
        config: SpectralConfig,
        mean: Float[Tensor, " values"],
        basis: Float[Tensor, "C values"],
        codebooks_KQC: Float[Tensor, "K Q C"],
    ) -> None:
        """``mean`` and the orthonormal rows of ``basis`` describe frames, the codebooks their coordinates."""
        self.config = config
        self.sample_rate = config.sample_rate
        self.samples_per_frame = config.hop * config.columns_per_frame
        self.codebooks = config.codebooks
        self.codebook_size = config.codebook_size
        self.stft = Stft(config.n_fft, config.hop)
        self.mean, self.basis, self.codebooks_KQC = mean, basis, codebooks_KQC

    @classmethod
    def fit(
        cls, waveforms: Sequence[Float[np.ndarray, " _"]], config: SpectralConfig | None = None, seed: int = 0
    ) -> SpectralCodec:
        """Fit a codec to waveforms at ``config.sample_rate``; the same input and seed give the same codec.

        Raises:
            ValueError: too few frames for the codebook size; a MediaError for unusable waveforms.
        """
        config = config or SpectralConfig()
        generator = torch.Generator().manual_seed(seed)
        stft = Stft(config.n_fft, config.hop)
        if not waveforms:
            raise ValueError("no waveforms to fit an audio codec to")
        frames = torch.cat([log_frames(waveform_W, stft, config) for waveform_W in waveforms])
        if len(frames) > config.fit_frames:
            frames = frames[torch.randperm(len(frames), generator=generator)[: config.fit_frames]]
        mean = frames.mean(dim=0)
        _, vectors = torch.linalg.eigh((frames - mean).T.double() @ (frames - mean).double())
        basis = vectors.flip(1)[:, : config.components].T.float().contiguous()
        codebooks_KQC = fit_residual_codebooks(
            (frames - mean) @ basis.T,
            config.codebooks,
            config.codebook_size,
            config.fit_iterations,
            generator,
        )
        return cls(config, mean, basis, codebooks_KQC)

    def encode(self, waveform_W: Float[np.ndarray, " W"]) -> Int[np.ndarray, "F K"]:
        """Codes of a waveform; silence is appended to fill the last frame.

        Raises:
            MediaError: zero-length audio, or NaN or infinite samples.
        """
        points_FC = (log_frames(waveform_W, self.stft, self.config) - self.mean) @ self.basis.T
        return residual_codes(points_FC, self.codebooks_KQC).numpy()

    def decode(self, codes_FK: Int[np.ndarray, "F K"]) -> Float[np.ndarray, " W"]:
        """Waveform of the codes."""
        return self.synthesise(self.magnitude(codes_FK))

    def synthesise(
        self, magnitude: Float[Tensor, "columns bins"], past_W: Float[np.ndarray, " past"] | None = None
    ) -> Float[np.ndarray, " W"]:
        """Waveform with these magnitudes, beginning with ``past_W`` where that is given."""
        if len(magnitude) == 0:
            return np.zeros(0, np.float32)
        wave_W = griffin_lim(
            self.stft,
            magnitude,
            self.config.phase_iterations,
            self.config.phase_momentum,
            None if past_W is None else torch.from_numpy(past_W),
        )
        return wave_W.clamp(-1, 1).numpy()

    def magnitude(self, codes_FK: Int[np.ndarray, "F K"]) -> Float[Tensor, "columns bins"]:
        """Spectrogram that the codes describe."""
        codes = torch.from_numpy(check_codes(codes_FK, self.codebooks, self.codebook_size))
        log_magnitude = codes_to_points(codes, self.codebooks_KQC) @ self.basis + self.mean
        return (log_magnitude.exp() - self.config.floor).clamp_min(0).view(-1, self.stft.bins)

    def stream(self) -> StreamDecoder:
        """A decoder that is one frame behind; see ``SpectralStream``."""
        return SpectralStream(self)

    def files(self) -> dict[str, bytes]:
        """``codec.json`` and one ``.npy`` file for each array."""
        arrays = {"mean": self.mean, "basis": self.basis, "codebooks": self.codebooks_KQC}
        return {CODEC_FILE: codec_json(self.kind, asdict(self.config))} | {
            f"{name}.npy": npy_bytes(arrays[name].numpy()) for name in ARRAYS
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> SpectralCodec:
        """The codec that ``files()`` described."""
        arrays = [torch.from_numpy(codec_array(files, f"{name}.npy")) for name in ARRAYS]
        return cls(codec_config(files, SpectralConfig), *arrays)


class SpectralStream(StreamDecoder):
    """Decodes frame by frame: Griffin-Lim over a few played frames, the new one and the one after it.

    Played samples are held fixed, so the sound joins without clicks; phases differ from those of ``decode``.
    How the frames are cut into pushes doesn't change the sound.
    """

    context = 4
    """Played frames that a new frame's phases are fitted to."""

    def __init__(self, codec: SpectralCodec) -> None:
        self.codec = codec
        self.codes_FK: Int[np.ndarray, "F K"] = np.zeros((0, codec.codebooks), np.int64)
        """Played frames within the context, then those that wait."""
        self.past_W: Float[np.ndarray, " W"] = np.zeros(0, np.float32)
        """Samples of the played frames."""

    def push(self, codes_FK: Int[np.ndarray, "F K"]) -> Float[np.ndarray, " W"]:
        """Take the next frames; samples come out one frame late."""
        codes_FK = check_codes(codes_FK, self.codec.codebooks, self.codec.codebook_size)
        parts = [np.zeros(0, np.float32)]
        for code_K in codes_FK:
            waiting = self._waiting
            self.codes_FK = np.concatenate([self.codes_FK, code_K[None]])
            parts.append(self._play(waiting))
        return np.concatenate(parts)

    def flush(self) -> Float[np.ndarray, " W"]:
        """The samples of the last frame."""
        return self._play(self._waiting)

    @property
    def _waiting(self) -> int:
        return len(self.codes_FK) - len(self.past_W) // self.codec.samples_per_frame

    def _play(self, frames: int) -> Float[np.ndarray, " W"]:
        """Decode the next ``frames`` after the played ones, then forget what is out of context."""
        if frames == 0:
            return np.zeros(0, np.float32)
        size, played = self.codec.samples_per_frame, len(self.past_W)
        wave_W = self.codec.synthesise(self.codec.magnitude(self.codes_FK), self.past_W)
        new_W = wave_W[played : played + frames * size]
        self.past_W = np.concatenate([self.past_W, new_W])
        forgotten = max(0, len(self.past_W) // size - self.context)
        self.past_W, self.codes_FK = self.past_W[forgotten * size :], self.codes_FK[forgotten:]
        return new_W


def log_frames(
    waveform_W: Float[np.ndarray, " W"], stft: Stft, config: SpectralConfig
) -> Float[Tensor, "F values"]:
    """Log magnitudes of a waveform, ``columns_per_frame`` columns to a row.

    Raises:
        MediaError: zero-length audio, or NaN or infinite samples.
    """
    check_waveform(waveform_W, config.sample_rate, "waveform to encode")
    wave_W = torch.from_numpy(padded_to_frames(waveform_W, stft.hop * config.columns_per_frame))
    magnitude = stft.forward(stft.extend(wave_W)).abs()
    return (magnitude + config.floor).log().view(-1, config.columns_per_frame * stft.bins)
