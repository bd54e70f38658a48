"""Rotary position embedding over three axes: time, row and column (M-RoPE of Qwen2-VL, arXiv 2409.12191).

Frequencies are dealt to the axes in turn, so that every axis has high and low ones.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Rotation = tuple[Float[Tensor, "B S half"], Float[Tensor, "B S half"]]
"""Cosines and sines of the angle of each channel pair."""


class Rotary(nn.Module):
    """Angles of positions, computed once for all layers."""

    def __init__(self, head_channels: int, base: float) -> None:
        super().__init__()
        self.head_channels, self.base = head_channels, base

    def forward(self, coords_BS3: Int[Tensor, "B S 3"]) -> Rotation:
        """Cosines and sines for the coordinates."""
        half = self.head_channels // 2
        pair = torch.arange(half, device=coords_BS3.device)
        frequency = self.base ** (-pair.float() / half)  # (half,)
        angle = coords_BS3[..., pair % 3].float() * frequency  # (B, S, half)
        return angle.cos(), angle.sin()


def rotate(x_BSAC: Float[Tensor, "B S A C"], rotation: Rotation) -> Float[Tensor, "B S A C"]:
    """Turn each channel pair (i, i + C/2) of every head by its angle."""
    cos, sin = (part.unsqueeze(2).to(x_BSAC.dtype) for part in rotation)  # (B, S, 1, C/2)
    first, second = x_BSAC.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
