"""A mixture-of-experts layer to test, and the obvious way to compute it."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from omni.nn.config import MoEConfig
from omni.nn.moe.groups import GroupSizes
from omni.nn.moe.layer import MoE
from tests.tiny_model import shake, tiny_config

GROUPS: dict[str, dict[str, Any]] = {
    "agnostic": {"experts": 8},
    "grouped": {"experts": 8, "routing": "grouped", "groups": GroupSizes(text=4, image=2, audio=2)},
    "hybrid": {"experts": 8, "routing": "hybrid", "groups": GroupSizes(shared=2, text=3, image=1, audio=2)},
}
"""Settings of each routing mode."""
OPEN: dict[str, list[list[int]]] = {
    "agnostic": [[0, 1, 2, 3, 4, 5, 6, 7]] * 3,
    "grouped": [[0, 1, 2, 3], [4, 5], [6, 7]],
    "hybrid": [[0, 1, 2, 3, 4], [0, 1, 5], [0, 1, 6, 7]],
}
"""Experts open to text, images and audio with these settings."""


def make_moe(dtype: torch.dtype = torch.float32, **settings: Any) -> MoE:
    """A layer of width 32 with random weights; its router's bias too is not zero."""
    moe = MoE(tiny_config(moe=MoEConfig(**({"experts": 4, "top_k": 2, "expert_width": 16} | settings))))
    for parameter in moe.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    shake(moe)
    return moe.to(dtype)


def all_text(x: Tensor) -> Tensor:
    """Modality of each position of ``x``, whose last dimension is the width."""
    return torch.zeros(x.shape[:-1], dtype=torch.uint8)


def mixed(x: Tensor) -> Tensor:
    """Modalities in turn: text, image, audio, text ..."""
    count = x[..., 0].numel()
    return (torch.arange(count) % 3).to(torch.uint8).view(x.shape[:-1])


def swiglu(x: Tensor, w13: Tensor, w2: Tensor) -> Tensor:
    """One expert on one position."""
    gate, up = (w13 @ x).chunk(2)
    return w2 @ (F.silu(gate) * up)


def scores_of(moe: MoE, x: Tensor, experts: list[int]) -> Tensor:
    """Scores of ``experts`` for one position, as if there were no others."""
    logits = moe.router.weight[experts] @ x
    return logits.sigmoid() if moe.router.config.score == "sigmoid" else logits.softmax(0)


def slow_moe(moe: MoE, x_BSD: Tensor, modality_BS: Tensor, mode: str | None = None) -> Tensor:
    """Each position picks its experts by biased score, among those open to it, and mixes them by unbiased score."""
    config, bias = moe.router.config, moe.router.bias
    out = []
    for x, modality in zip(x_BSD.flatten(0, 1), modality_BS.flatten().tolist(), strict=True):
        open_ = OPEN[mode][modality] if mode else list(range(config.experts))
        scores = dict(zip(open_, scores_of(moe, x, open_), strict=True))
        chosen = sorted(open_, key=lambda e: -(scores[e] + bias[e]).item())[: config.top_k]
        total = sum((scores[e] for e in chosen), start=torch.zeros(()))
        mix = torch.zeros_like(x)
        for e in chosen:
            mix = mix + scores[e] / total * swiglu(x, moe.experts.w13[e], moe.experts.w2[e])
        if moe.shared is not None:
            mix = mix + swiglu(x, moe.shared.w13.weight, moe.shared.w2.weight)
        out.append(mix)
    return torch.stack(out).view_as(x_BSD)
