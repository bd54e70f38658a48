"""The network of the neural codec: a convolutional encoder and decoder that see the past only.

The plan is SoundStream's (Zeghidour et al. 2021, arXiv 2107.03312), small. Being causal, the decoder
gives the same samples whether it is fed frame by frame or a whole clip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class NeuralConfig:
    """Shape of a neural codec."""

    sample_rate: int = 8_000
    """Hz of the waveforms."""
    strides: tuple[int, ...] = (8, 4)
    """Downsampling of each encoder stage; their product is the samples of a frame."""
    channels: tuple[int, ...] = (64, 96)
    """Width after each encoder stage; the decoder mirrors them."""
    dilations: tuple[int, ...] = (1,)
    """Dilation of the residual units of each stage."""
    dimension: int = 64
    """C: width of the vectors that are quantised."""
    codebooks: int = 4
    """K: codes per frame."""
    codebook_size: int = 256
    """Q: values of a code."""

    def __post_init__(self) -> None:
        if not self.strides or len(self.strides) != len(self.channels):
            raise ValueError(
                f"strides {self.strides} and channels {self.channels}: expected one of each per stage"
            )
        for name in ("strides", "channels"):
            if min(getattr(self, name)) < 1:
                raise ValueError(f"{name} {getattr(self, name)}: expected each to be at least 1")
        if self.sample_rate < 1:
            raise ValueError(f"sample_rate is {self.sample_rate}, expected at least 1")
        if self.codebooks < 1 or self.codebook_size < 2:
            raise ValueError(
                f"{self.codebooks} codebooks of {self.codebook_size} codes: expected at least 1 of at least 2"
            )

    @property
    def samples_per_frame(self) -> int:
        """Samples that one frame stands for."""
        return math.prod(self.strides)


def start(conv: nn.Conv1d | nn.ConvTranspose1d, spread: float) -> None:
    """Draw the weights with this standard deviation, and no offset.

    With a gain of 1 in every layer the untrained decoder is as loud as its input. Torch's default makes it all
    but silent: 500 steps from there reached 9.4 dB on recorded digits, 9.9 dB from here.
    """
    weight, bias = conv.parameters()
    nn.init.normal_(weight, std=spread)
    nn.init.zeros_(bias)


class CausalConv(nn.Module):
    """Convolution whose output at a place sees the inputs up to the end of that place."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.past = (kernel - 1) * dilation + 1 - stride
        """Inputs before its own place that the first output sees."""
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, dilation=dilation)
        start(self.conv, (inputs * kernel) ** -0.5)

    def forward(self, x: Float[Tensor, "B inputs length"]) -> Float[Tensor, "B outputs shorter"]:
        """Convolve, with zeros before the start."""
        return self.conv(nn.functional.pad(x, (self.past, 0)))


class CausalUpsample(nn.Module):
    """Transposed convolution: ``stride`` outputs for each input, from it and the input before it."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.ConvTranspose1d(inputs, outputs, 2 * stride, stride)
        start(self.conv, (2 * inputs) ** -0.5)

    def forward(self, x: Float[Tensor, "B inputs length"]) -> Float[Tensor, "B outputs longer"]:
        """Upsample; what reaches past the last input is cut off."""
        return self.conv(x)[..., : x.shape[-1] * self.stride]


class ResidualUnit(nn.Module):
    """A dilated convolution and a pointwise one, added to their input; small at first."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        last = CausalConv(channels, channels, 1)
        last.conv.weight.data.mul_(0.1)
        self.layers = nn.Sequential(
            nn.ELU(), CausalConv(channels, channels, 3, dilation=dilation), nn.ELU(), last
        )

    def forward(self, x: Float[Tensor, "B channels length"]) -> Float[Tensor, "B channels length"]:
        """The input with the unit's correction."""
        return x + self.layers(x)


def neural_encoder(config: NeuralConfig) -> nn.Sequential:
    """Waveform (B, 1, W) to vectors (B, C, F); W must be a multiple of the samples of a frame."""
    layers: list[nn.Module] = []
    inputs = 1
    for stride, width in zip(config.strides, config.channels, strict=True):
        layers += [CausalConv(inputs, width, 2 * stride, stride)]
        layers += [ResidualUnit(width, dilation) for dilation in config.dilations]
        layers += [nn.ELU()]
        inputs = width
    return nn.Sequential(*layers, CausalConv(inputs, config.dimension, 3))


def neural_decoder(config: NeuralConfig) -> nn.Sequential:
    """Vectors (B, C, F) to waveform (B, 1, W)."""
    layers: list[nn.Module] = [CausalConv(config.dimension, config.channels[-1], 3)]
    outputs = (1, *config.channels[:-1])
    for stride, width, narrower in reversed(list(zip(config.strides, config.channels, outputs, strict=True))):
        layers += [ResidualUnit(width, dilation) for dilation in config.dilations]
        layers += [nn.ELU(), CausalUpsample(width, narrower, stride)]
    return nn.Sequential(*layers)


def context_frames(decoder: nn.Module) -> int:
    """Frames before its own that a frame of the decoder's output depends on."""
    past = 0  # in inputs of the layer at hand
    for layer in reversed(list(decoder.modules())):
        if isinstance(layer, CausalConv):
            past += layer.past
        elif isinstance(layer, CausalUpsample):
            past = -(-past // layer.stride) + 1
    return past
