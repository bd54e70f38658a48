"""Grouped-query attention with normalised queries and keys (QK-norm) and three-axis rotary positions."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from omni.nn.config import ModelConfig
from omni.nn.document_attention import AttentionContext
from omni.nn.rotary import Rotation, rotate


class Attention(nn.Module):
    """One attention layer. QK-norm keeps logits bounded when modalities mix (Chameleon, arXiv 2405.09818)."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.heads, self.kv_heads, self.channels = config.heads, config.kv_heads, config.head_channels
        kv_width = self.kv_heads * self.channels
        self.widths = (config.width, kv_width, kv_width)
        self.qkv = nn.Linear(config.width, sum(self.widths), bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)
        self.q_norm = nn.RMSNorm(self.channels)
        self.k_norm = nn.RMSNorm(self.channels)

    def project(
        self, x_BSD: Float[Tensor, "B S D"], rotation: Rotation
    ) -> tuple[Float[Tensor, "B S A C"], Float[Tensor, "B S G C"], Float[Tensor, "B S G C"]]:
        """Queries and keys, normalised and rotated, and values."""
        q, k, v = self.qkv(x_BSD).split(self.widths, dim=-1)
        q_BSAC = rotate(self.q_norm(q.unflatten(-1, (self.heads, self.channels))), rotation)
        k_BSGC = rotate(self.k_norm(k.unflatten(-1, (self.kv_heads, self.channels))), rotation)
        return q_BSAC, k_BSGC, v.unflatten(-1, (self.kv_heads, self.channels))

    def forward(
        self, x_BSD: Float[Tensor, "B S D"], rotation: Rotation, context: AttentionContext
    ) -> Float[Tensor, "B S D"]:
        """Mix positions as ``context`` allows."""
        q_BSAC, k_BSGC, v_BSGC = self.project(x_BSD, rotation)
        return self.out(context(q_BSAC, k_BSGC, v_BSGC, self.layer).flatten(-2))
