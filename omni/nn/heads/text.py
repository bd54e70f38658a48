"""The text head: one linear map to the vocabulary; the loss never holds the logits of a whole row."""

from __future__ import annotations

from typing import NamedTuple

from jaxtyping import Float, Int
from torch import Tensor, nn

from omni.nn.config import TextHeadConfig
from omni.nn.heads.cross_entropy import chunked_cross_entropy
from omni.nn.precision import at_least_fp32


class TextLoss(NamedTuple):
    """The loss of a text head, summed over positions."""

    objective: Float[Tensor, ""]
    """What to differentiate: the nats with the z-loss."""
    nats: Float[Tensor, ""]
    """Detached."""


class TextHead(nn.Module):
    """Logits over text tokens and control symbols."""

    def __init__(self, width: int, vocab_size: int, config: TextHeadConfig, embedding: nn.Embedding) -> None:
        super().__init__()
        self.linear = nn.Linear(width, vocab_size, bias=False)
        self.chunk, self.z_loss = config.chunk, config.z_loss
        if config.tied:
            self.linear.weight = embedding.weight

    def forward(self, hidden: Float[Tensor, "*any D"]) -> Float[Tensor, "*any V"]:
        """Logits, at least fp32."""
        return at_least_fp32(self.linear(hidden))

    def loss(self, hidden_ND: Float[Tensor, "N D"], ids_N: Int[Tensor, " N"]) -> TextLoss:
        """See ``chunked_cross_entropy``."""
        return TextLoss(*chunked_cross_entropy(hidden_ND, self.linear.weight, ids_N, self.chunk, self.z_loss))
