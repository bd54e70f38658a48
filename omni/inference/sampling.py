"""How the next token, code or patch is drawn."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def choose(
    logits_BV: Float[Tensor, "B V"],
    generators: list[torch.Generator],
    temperature: float,
    top_p: float = 1.0,
    top_k: int = 0,
) -> Int[Tensor, " B"]:
    """Draw one index per row, each with its own generator (Gumbel-max), so whatever the other rows are."""
    if temperature == 0:
        return logits_BV.argmax(-1)
    logits_BV = logits_BV / temperature
    if top_k:
        kth = logits_BV.topk(min(top_k, logits_BV.shape[-1]), dim=-1).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < kth, float("-inf"))
    if top_p < 1:
        ordered, order = logits_BV.sort(dim=-1, descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        logits_BV = logits_BV.scatter(-1, order, ordered.masked_fill(before >= top_p, float("-inf")))
    uniform = torch.stack([torch.rand(logits_BV.shape[-1], generator=g) for g in generators])
    waiting = -torch.log(uniform.clamp(min=1e-20))  # exponential, so its negative logarithm is Gumbel
    gumbel = -torch.log(waiting.clamp(min=1e-20))
    return (logits_BV + gumbel.to(logits_BV)).argmax(-1)
