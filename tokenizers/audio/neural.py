"""The neural codec: a causal convolutional encoder and decoder around residual codebooks.

Train one with ``omni tokenizer train-audio --kind neural`` (``neural_training.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import ClassVar

import numpy as np
import safetensors.torch
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from omni.media import check_waveform
from omni.tokenizers.audio.arrays import check_codes, padded_to_frames
from omni.tokenizers.audio.base import CODEC_FILE, AudioCodec, StreamDecoder, codec_json
from omni.tokenizers.audio.codec_files import codec_config, codec_file
from omni.tokenizers.audio.neural_network import (
    NeuralConfig,
    context_frames,
    neural_decoder,
    neural_encoder,
)
from omni.tokenizers.audio.residual import codes_to_points, residual_codes
from omni.tokenizers.audio.streaming import ContextStream

WEIGHTS_FILE = "model.safetensors"


class NeuralCodec(AudioCodec):
    """Codec of a trained network."""

    kind: ClassVar[str] = "neural"

    def __init__(
        self,
        config: NeuralConfig,
        encoder: nn.Module,
        decoder: nn.Module,
        codebooks_KQC: Float[Tensor, "K Q C"],
    ) -> None:
        """``encoder`` and ``decoder`` are those of ``neural_network.py``, made by the same config."""
        self.config = config
        self.sample_rate = config.sample_rate
        self.samples_per_frame = config.samples_per_frame
        self.codebooks = config.codebooks
        self.codebook_size = config.codebook_size
        self.encoder, self.decoder, self.codebooks_KQC = encoder.eval(), decoder.eval(), codebooks_KQC

    @torch.no_grad()
    def encode(self, waveform_W: Float[np.ndarray, " W"]) -> Int[np.ndarray, "F K"]:
        """Codes of a waveform; silence is appended to fill the last frame.

        Raises:
            MediaError: zero-length audio, or NaN or infinite samples.
        """
        check_waveform(waveform_W, self.sample_rate, "waveform to encode")
        wave_W = torch.from_numpy(padded_to_frames(waveform_W, self.samples_per_frame))
        points_FC = self.encoder(wave_W[None, None])[0].T
        return residual_codes(points_FC, self.codebooks_KQC).numpy()

    @torch.no_grad()
    def decode(self, codes_FK: Int[np.ndarray, "F K"]) -> Float[np.ndarray, " W"]:
        """Waveform of the codes."""
        codes = torch.from_numpy(check_codes(codes_FK, self.codebooks, self.codebook_size))
        if len(codes) == 0:
            return np.zeros(0, np.float32)
        points_FC = codes_to_points(codes, self.codebooks_KQC)
        return self.decoder(points_FC.T[None])[0, 0].clamp(-1, 1).numpy()

    def stream(self) -> StreamDecoder:
        """A decoder without delay that gives the samples of ``decode``."""
        return ContextStream(self, context_frames(self.decoder))

    def files(self) -> dict[str, bytes]:
        """``codec.json`` and the weights."""
        tensors = {"codebooks": self.codebooks_KQC}
        for name, module in (("encoder", self.encoder), ("decoder", self.decoder)):
            tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        return {
            CODEC_FILE: codec_json(self.kind, asdict(self.config)),
            WEIGHTS_FILE: safetensors.torch.save(
                {key: value.contiguous() for key, value in sorted(tensors.items())}
            ),
        }

    @classmethod
    def from_files(cls, files: Mapping[str, bytes]) -> NeuralCodec:
        """The codec that ``files()`` described."""
        config = codec_config(files, NeuralConfig)
        tensors = safetensors.torch.load(codec_file(files, WEIGHTS_FILE))
        codebooks_KQC = tensors.pop("codebooks")
        network = nn.ModuleDict({"encoder": neural_encoder(config), "decoder": neural_decoder(config)})
        network.load_state_dict(tensors)
        return cls(config, network["encoder"], network["decoder"], codebooks_KQC)
