"""One pre-norm transformer block: attention, then experts (or a dense network in the first layers)."""

from __future__ import annotations

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from omni.nn.attention import Attention
from omni.nn.config import ModelConfig
from omni.nn.document_attention import AttentionContext
from omni.nn.feed_forward import SwiGLU
from omni.nn.moe.layer import MoE
from omni.nn.moe.router import Routing
from omni.nn.rotary import Rotation


class Block(nn.Module):
    """Attention and feed-forward, each on the normalised stream and added back to it."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(config.width)
        self.attention = Attention(config, layer)
        self.feed_forward_norm = nn.RMSNorm(config.width)
        dense = layer < config.moe.dense_layers
        self.moe = None if dense else MoE(config)
        self.dense = SwiGLU(config.width, config.moe.top_k * config.moe.expert_width) if dense else None

    def forward(
        self,
        x_BSD: Float[Tensor, "B S D"],
        rotation: Rotation,
        context: AttentionContext,
        modality_BS: UInt8[Tensor, "B S"],
    ) -> tuple[Float[Tensor, "B S D"], Routing | None]:
        """The stream after the block, and the routing (none in a dense layer)."""
        x_BSD = x_BSD + self.attention(self.attention_norm(x_BSD), rotation, context)
        normed_BSD = self.feed_forward_norm(x_BSD)
        if self.moe is None:
            assert self.dense is not None
            return x_BSD + self.dense(normed_BSD), None
        mixed_BSD, routing = self.moe(normed_BSD, modality_BS)
        return x_BSD + mixed_BSD, routing
