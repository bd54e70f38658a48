"""Rotary position embedding over three axes: time, row and column (M-RoPE of Qwen2-VL, arXiv 2409.12191).

Frequencies are dealt to the axes in turn, so that every axis has high and low ones. Text and audio advance all
three axes together, so they see all frequencies as plain rotary positions would show them, and YaRN (arXiv
2309.00071) treats each pair by its frequency, whatever its axis.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from omni.nn.context_config import RopeConfig, YarnConfig

Rotation = tuple[Float[Tensor, "B S half"], Float[Tensor, "B S half"]]
"""Cosines and sines of the angle of each channel pair, times the root of YaRN's attention temperature."""


class Rotary(nn.Module):
    """Angles of positions, computed once for all layers."""

    def __init__(self, head_channels: int, rope: RopeConfig) -> None:
        super().__init__()
        self.head_channels, self.rope = head_channels, rope

    def forward(self, coords_BS3: Int[Tensor, "B S 3"]) -> Rotation:
        """Cosines and sines for the coordinates."""
        half = self.head_channels // 2
        pair = torch.arange(half, device=coords_BS3.device)
        frequency = frequencies(half, self.rope, coords_BS3.device)
        angle = coords_BS3[..., pair % 3].float() * frequency  # (B, S, half)
        if self.rope.yarn.factor == 1:
            return angle.cos(), angle.sin()
        sharper = sharpening(self.rope.yarn)
        return angle.cos() * sharper, angle.sin() * sharper


def frequencies(half: int, rope: RopeConfig, device: torch.device | str = "cpu") -> Float[Tensor, " half"]:
    """Radians that each of ``half`` channel pairs turns by in a step of its axis.

    YaRN's ramp from kept to slowed pairs is linear in the number of the pair, between whole numbers, as in its
    authors' code; the paper's is linear in the number of turns.
    """
    pair = torch.arange(half, device=device)
    plain = rope.base ** (-pair.float() / half)
    if rope.yarn.factor == 1:
        return plain
    first, last = _ramp(half, rope)
    slowed = ((pair.float() - first) / (last - first)).clamp(0, 1)
    return plain * (1 - slowed) + plain / rope.yarn.factor * slowed


def sharpening(yarn: YarnConfig) -> float:
    """Factor of queries and of keys: 0.1 ln(factor) + 1, the root of the inverse temperature (section 3.4)."""
    return 0.1 * math.log(yarn.factor) + 1


def _ramp(half: int, rope: RopeConfig) -> tuple[float, float]:
    """The last pair that keeps its frequency, and the first that is slowed down in full."""

    def pair_with(turns: float) -> float:
        return half * math.log(rope.yarn.original_length / (turns * 2 * math.pi)) / math.log(rope.base)

    first = max(math.floor(pair_with(rope.yarn.fast_turns)), 0)
    last = min(math.ceil(pair_with(rope.yarn.slow_turns)), 2 * half - 1)
    return float(first), float(last) if last > first else first + 0.001


def rotate(x_BSAC: Float[Tensor, "B S A C"], rotation: Rotation) -> Float[Tensor, "B S A C"]:
    """Turn each channel pair (i, i + C/2) of every head by its angle."""
    cos, sin = (part.unsqueeze(2).to(x_BSAC.dtype) for part in rotation)  # (B, S, 1, C/2)
    first, second = x_BSAC.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
