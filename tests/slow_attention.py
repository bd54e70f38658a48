"""The slow twin of packed and of cached attention."""

from __future__ import annotations

import torch
from torch import Tensor


def slow_attention(q_SAC: Tensor, k_SGC: Tensor, v_SGC: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """The obvious way: one document after another, one query head after another, with a mask of rows."""
    outputs = []
    shared = q_SAC.shape[1] // k_SGC.shape[1]  # query heads that share a key/value head
    for q, k, v in zip(*(x.split(lengths) for x in (q_SAC, k_SGC, v_SGC)), strict=True):
        later = torch.ones(len(q), len(q), dtype=torch.bool).triu(1)
        heads = []
        for head in range(q.shape[1]):
            scores = q[:, head] @ k[:, head // shared].T / q.shape[-1] ** 0.5
            heads.append(scores.masked_fill(later, float("-inf")).softmax(-1) @ v[:, head // shared])
        outputs.append(torch.stack(heads, dim=1))
    return torch.cat(outputs)
