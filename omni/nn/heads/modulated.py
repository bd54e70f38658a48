"""A residual MLP whose blocks are modulated by a condition (adaptive layer norm, DiT, arXiv 2212.09748)."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class ModulatedBlock(nn.Module):
    """``x + gate * mlp(norm(x) * (1 + scale) + shift)`` with gate, scale and shift from the condition."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.modulation = nn.Linear(width, 3 * width)
        self.up = nn.Linear(width, width)
        self.down = nn.Linear(width, width)

    def forward(
        self, x: Float[Tensor, "*any H"], condition: Float[Tensor, "*any H"]
    ) -> Float[Tensor, "*any H"]:
        """Apply the block; both inputs have the same shape up to broadcasting."""
        shift, scale, gate = self.modulation(F.silu(condition)).chunk(3, dim=-1)
        hidden = F.layer_norm(x, x.shape[-1:]) * (1 + scale) + shift
        return x + gate * self.down(F.silu(self.up(hidden)))
