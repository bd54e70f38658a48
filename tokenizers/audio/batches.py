"""Encodes many clips at once on a GPU. On a CPU one after another: batches gain nothing there.

Codes from a GPU may differ here and there from those of a CPU, where two codes fit a frame equally well to the last
bit of a sum. On a CPU they are those of ``codec.encode``, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from functools import singledispatch

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from omni.media import check_waveform
from omni.tokenizers.audio.arrays import padded_to_frames
from omni.tokenizers.audio.base import AudioCodec
from omni.tokenizers.audio.neural import NeuralCodec
from omni.tokenizers.audio.pretrained import DacCodec, EncodecCodec, MimiCodec, PretrainedCodec
from omni.tokenizers.audio.residual import residual_codes

Waveform = Float[np.ndarray, " _"]


class BatchEncoder:
    """Encodes lists of waveforms with a codec, which belongs to it from then on."""

    def __init__(self, codec: AudioCodec, device: str, batch: int) -> None:
        """
        Args:
            codec: is moved to the device.
            device: ``cpu``, ``cuda`` or ``cuda:1``.
            batch: clips at a time on a GPU.

        Raises:
            ValueError: no such device, or the codec has no network to run on it.
        """
        if batch < 1:
            raise ValueError(f"batch must be at least 1 clip, got {batch}")
        self.codec, self.batch = codec, batch
        self.fingerprint = codec.fingerprint
        try:
            self.device = torch.device(device)
            torch.empty(0, device=self.device)
        except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
            raise ValueError(f"device {device!r}: {str(error).splitlines()[0]}") from error
        if self.device.type != "cpu":
            move(codec, self.device)

    def encode(self, waveforms: Seq[Waveform]) -> list[Int[np.ndarray, "_ K"]]:
        """Codes of waveforms at the codec's sample rate, as ``codec.encode`` gives them.

        Raises:
            MediaError: a waveform is empty, or has NaN or infinite samples.
        """
        if self.device.type == "cpu":
            return [self.codec.encode(waveform_W) for waveform_W in waveforms]
        return self.encode_in_batches(waveforms)

    @torch.no_grad()
    def encode_in_batches(self, waveforms: Seq[Waveform]) -> list[Int[np.ndarray, "_ K"]]:
        """``encode`` in batches of clips of the same number of frames, so that no padding is in any."""
        for waveform_W in waveforms:
            check_waveform(waveform_W, self.codec.sample_rate, "waveform to encode")
        padded = [padded_to_frames(waveform_W, self.codec.samples_per_frame) for waveform_W in waveforms]
        by_length: dict[int, list[int]] = {}
        for number, wave_W in enumerate(padded):
            by_length.setdefault(len(wave_W), []).append(number)
        codes: dict[int, np.ndarray] = {}
        for numbers in by_length.values():
            for start in range(0, len(numbers), self.batch):
                some = numbers[start : start + self.batch]
                waves_BW = torch.from_numpy(np.stack([padded[number] for number in some])).to(self.device)
                codes |= zip(some, codes_of(self.codec, waves_BW).cpu().numpy(), strict=True)
        return [codes[number] for number in range(len(waveforms))]


def best_device(codec: AudioCodec) -> str:
    """``cuda`` where there is a GPU that the codec can use, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() and move.dispatch(type(codec)) is not _refuse else "cpu"


@singledispatch
def move(codec: AudioCodec, device: torch.device) -> None:
    """Move a codec to a GPU.

    Raises:
        ValueError: it has no network that could run there.
    """
    raise ValueError(f"the {codec.kind} codec runs on the CPU only; leave out the device, or give cpu")


_refuse = move.dispatch(AudioCodec)


@move.register
def _(codec: NeuralCodec, device: torch.device) -> None:
    codec.encoder.to(device)
    codec.codebooks_KQC = codec.codebooks_KQC.to(device)


@move.register
def _(codec: PretrainedCodec, device: torch.device) -> None:
    codec.model.to(device)


@singledispatch
def codes_of(codec: AudioCodec, waves_BW: Float[Tensor, "B W"]) -> Int[Tensor, "B F K"]:
    """Codes of whole frames of sound, on the device where they are.

    Raises:
        ValueError: the codec has no network.
    """
    raise ValueError(f"the {codec.kind} codec has no network to encode batches with")


@codes_of.register
def _(codec: NeuralCodec, waves_BW: Tensor) -> Tensor:
    points_BFC = codec.encoder(waves_BW[:, None]).transpose(1, 2)
    batch, frames = points_BFC.shape[:2]
    return residual_codes(points_BFC.flatten(0, 1), codec.codebooks_KQC).view(batch, frames, -1)


@codes_of.register
def _(codec: MimiCodec, waves_BW: Tensor) -> Tensor:
    found = codec.model.encode(waves_BW[:, None], num_quantizers=codec.codebooks)
    return _whole_frames(codec, found.audio_codes, waves_BW)


@codes_of.register
def _(codec: EncodecCodec, waves_BW: Tensor) -> Tensor:
    found = codec.model.encode(waves_BW[:, None], bandwidth=max(codec.model.config.target_bandwidths))
    return _whole_frames(codec, found.audio_codes[0], waves_BW)


@codes_of.register
def _(codec: DacCodec, waves_BW: Tensor) -> Tensor:
    found = codec.model.encode(waves_BW[:, None], n_quantizers=codec.codebooks)
    return _whole_frames(codec, found.audio_codes, waves_BW)


def _whole_frames(codec: PretrainedCodec, codes_BKF: Tensor, waves_BW: Tensor) -> Tensor:
    frames = waves_BW.shape[1] // codec.samples_per_frame
    return codes_BKF[:, : codec.codebooks, :frames].transpose(1, 2).contiguous()
