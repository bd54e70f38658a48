"""Pretrained codecs of the ``transformers`` library: Mimi, EnCodec and DAC, from a folder or a hub name.

The saved codec carries configuration and weights, so a checkpoint with it needs no network. Weights are read
from safetensors only. With random weights, as in tests, these codecs may give one constant code.
"""

from __future__ import annotations

import tempfile
from abc import abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from omni.media import check_waveform
from omni.tokenizers.audio.arrays import check_codes, padded_to_frames
from omni.tokenizers.audio.base import CODEC_FILE, AudioCodec, StreamDecoder, codec_json
from omni.tokenizers.audio.codec_files import codec_settings
from omni.tokenizers.audio.streaming import ContextStream


class PretrainedCodec(AudioCodec):
    """What the three have in common; each subclass names its model and how to call it."""

    model_class: ClassVar[str]
    """Name of the class in ``transformers``."""
    context: ClassVar[int]
    """Frames before its own that streaming decodes along with a frame."""
    lookahead: ClassVar[int] = 0
    """Frames after its own that streaming waits for."""

    def __init__(self, model: Any, codebooks: int | None = None) -> None:
        """``model`` is a loaded ``transformers`` model; ``codebooks`` are kept of each frame (default: all).

        Raises:
            ValueError: the model has fewer codebooks.
        """
        self.model = model.eval().requires_grad_(False)
        most = self.most_codebooks
        if codebooks is not None and not 1 <= codebooks <= most:
            raise ValueError(f"{codebooks} codebooks wanted, this {self.model_class} has 1 to {most}")
        self.codebooks = most if codebooks is None else codebooks
        self.codebook_size = model.config.codebook_size
        self.sample_rate = model.config.sampling_rate
        self.samples_per_frame = self.model_samples_per_frame

    @classmethod
    def load(cls, source: Path | str, codebooks: int | None = None) -> PretrainedCodec:
        """Load from a local folder or a name on the Hugging Face hub, such as ``kyutai/mimi``.

        Raises:
            ValueError: ``transformers`` isn't installed, or there is no such model.
        """
        try:
            import transformers
        except ImportError as error:
            raise ValueError(
                f"the {cls.kind} codec needs the transformers library: pip install -e '.[pretrained]'"
            ) from error
        try:
            model = getattr(transformers, cls.model_class).from_pretrained(
                str(source), use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError) as error:
            raise ValueError(
                f"{source}: no {cls.model_class} with safetensors weights here, neither as a folder nor on "
                f"the hub ({error})"
            ) from error
        return cls(model, codebooks)

    @property
    @abstractmethod
    def most_codebooks(self) -> int:
        """Codebooks that the model has."""

    @property
    @abstractmethod
    def model_samples_per_frame(self) -> int:
        """Samples of a frame by the model's configuration."""

    @abstractmethod
    def model_encode(self, wave_11W: Float[Tensor, "1 1 W"]) -> Int[Tensor, "K F"]:
        """Codes by the model, at least ``codebooks`` of them."""

    @abstractmethod
    def model_decode(self, codes_1KF: Int[Tensor, "1 K F"]) -> Float[Tensor, "*one W"]:
        """Waveform by the model, maybe a few samples longer or shorter than the frames."""

    @torch.no_grad()
    def encode(self, waveform_W: Float[np.ndarray, " W"]) -> Int[np.ndarray, "F K"]:
        """Codes of a waveform; silence is appended to fill the last frame.

        Raises:
            MediaError: zero-length audio, or NaN or infinite samples.
        """
        check_waveform(waveform_W, self.sample_rate, "waveform to encode")
        wave_W = torch.from_numpy(padded_to_frames(waveform_W, self.samples_per_frame))
        codes_KF = self.model_encode(wave_W[None, None])
        return codes_KF[: self.codebooks, : len(wave_W) // self.samples_per_frame].T.contiguous().numpy()

    @torch.no_grad()
    def decode(self, codes_FK: Int[np.ndarray, "F K"]) -> Float[np.ndarray, " W"]:
        """Waveform of the codes."""
        codes = torch.from_numpy(check_codes(codes_FK, self.codebooks, self.codebook_size))
        made_W = np.zeros(len(codes) * self.samples_per_frame, np.float32)
        if len(codes):
            wave_W = self.model_decode(codes.T[None]).flatten()[: len(made_W)]
            made_W[: len(wave_W)] = wave_W.clamp(-1, 1).numpy()
        return made_W

    def stream(self) -> StreamDecoder:
        """A decoder that sees ``context`` frames back: near to ``decode``, not bit for bit."""
        return ContextStream(self, self.context, self.lookahead)

    @cached_property
    def fingerprint(self) -> str:
        """See ``AudioCodec``; kept, as the weights are large and don't change."""
        return super().fingerprint

    def files(self) -> dict[str, bytes]:
        """``codec.json``, and configuration and weights as ``transformers`` writes them."""
        with tempfile.TemporaryDirectory() as folder:
            self.model.save_pretrained(folder)
            saved = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
        return {CODEC_FILE: codec_json(self.kind, {"codebooks": self.codebooks}), **saved}

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> PretrainedCodec:
        """The codec that ``files()`` described."""
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                (Path(folder) / name).write_bytes(content)
            return cls.load(folder, codec_settings(files)["codebooks"])


class MimiCodec(PretrainedCodec):
    """Mimi (Défossez et al. 2024, arXiv 2410.00037): 24 kHz, 12.5 frames/s, speech."""

    kind: ClassVar[str] = "mimi"
    model_class: ClassVar[str] = "MimiModel"
    context: ClassVar[int] = 25

    @property
    def most_codebooks(self) -> int:
        """Semantic and acoustic codebooks together."""
        return self.model.config.num_quantizers

    @property
    def model_samples_per_frame(self) -> int:
        """Samples of a frame."""
        return round(self.model.config.sampling_rate / self.model.config.frame_rate)

    def model_encode(self, wave_11W: Float[Tensor, "1 1 W"]) -> Int[Tensor, "K F"]:
        """Codes by the model."""
        return self.model.encode(wave_11W, num_quantizers=self.codebooks).audio_codes[0]

    def model_decode(self, codes_1KF: Int[Tensor, "1 K F"]) -> Float[Tensor, "*one W"]:
        """Waveform by the model."""
        return self.model.decode(codes_1KF).audio_values


class EncodecCodec(PretrainedCodec):
    """EnCodec (Défossez et al. 2022, arXiv 2210.13438), its mono model at 24 kHz, 75 frames/s."""

    kind: ClassVar[str] = "encodec"
    model_class: ClassVar[str] = "EncodecModel"
    context: ClassVar[int] = 75

    def __init__(self, model: Any, codebooks: int | None = None) -> None:
        """See ``PretrainedCodec``.

        Raises:
            ValueError: a model of stereo, or of normalised or chunked sound: its codes alone don't make sound.
        """
        config = model.config
        if config.audio_channels != 1 or config.normalize or config.chunk_length_s is not None:
            raise ValueError(
                f"EnCodec with audio_channels {config.audio_channels}, normalize {config.normalize}, "
                f"chunk_length_s {config.chunk_length_s}: expected 1, False and None, as in "
                "facebook/encodec_24khz"
            )
        super().__init__(model, codebooks)

    @property
    def most_codebooks(self) -> int:
        """Codebooks at the highest bandwidth."""
        return self.model.quantizer.get_num_quantizers_for_bandwidth(self._bandwidth)

    @property
    def model_samples_per_frame(self) -> int:
        """Samples of a frame."""
        return self.model.config.hop_length

    @property
    def _bandwidth(self) -> float:
        return max(self.model.config.target_bandwidths)

    def model_encode(self, wave_11W: Float[Tensor, "1 1 W"]) -> Int[Tensor, "K F"]:
        """Codes by the model; each is chosen after those before it, so the first ones stand alone."""
        return self.model.encode(wave_11W, bandwidth=self._bandwidth).audio_codes[0, 0]

    def model_decode(self, codes_1KF: Int[Tensor, "1 K F"]) -> Float[Tensor, "*one W"]:
        """Waveform by the model."""
        return self.model.decode(codes_1KF[None], [None]).audio_values


class DacCodec(PretrainedCodec):
    """Descript audio codec (Kumar et al. 2023, arXiv 2306.06546): 16, 24 or 44.1 kHz. Not causal."""

    kind: ClassVar[str] = "dac"
    model_class: ClassVar[str] = "DacModel"
    context: ClassVar[int] = 16
    lookahead: ClassVar[int] = 16

    @property
    def most_codebooks(self) -> int:
        """Codebooks of the model."""
        return self.model.config.n_codebooks

    @property
    def model_samples_per_frame(self) -> int:
        """Samples of a frame."""
        return self.model.config.hop_length

    def model_encode(self, wave_11W: Float[Tensor, "1 1 W"]) -> Int[Tensor, "K F"]:
        """Codes by the model."""
        return self.model.encode(wave_11W, n_quantizers=self.codebooks).audio_codes[0]

    def model_decode(self, codes_1KF: Int[Tensor, "1 K F"]) -> Float[Tensor, "*one W"]:
        """Waveform by the model."""
        return self.model.decode(audio_codes=codes_1KF).audio_values
