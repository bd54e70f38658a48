"""The text head: one linear map to the vocabulary; the loss never holds the logits of a whole row."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from omni.nn.config import TextHeadConfig
from omni.nn.precision import at_least_fp32


class TextHead(nn.Module):
    """Logits over text tokens and control symbols."""

    def __init__(self, width: int, vocab_size: int, config: TextHeadConfig, embedding: nn.Embedding) -> None:
        super().__init__()
        self.linear = nn.Linear(width, vocab_size, bias=False)
        self.options = nn.LinearCrossEntropyOptions(batch_chunk_size=config.chunk)
        if config.tied:
            self.linear.weight = embedding.weight

    def forward(self, hidden: Float[Tensor, "*any D"]) -> Float[Tensor, "*any V"]:
        """Logits, at least fp32."""
        return at_least_fp32(self.linear(hidden))

    def loss(self, hidden_ND: Float[Tensor, "N D"], ids_N: Int[Tensor, " N"]) -> Float[Tensor, ""]:
        """Nats, summed over positions."""
        weight = self.linear.weight.to(hidden_ND.dtype)
        nats = F.linear_cross_entropy(hidden_ND, weight, ids_N, reduction="sum", options=self.options)
        return at_least_fp32(nats)
