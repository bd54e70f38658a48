"""How the next token, code or patch is drawn."""

from __future__ import annotations

from collections.abc import Sequence as Seq

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

PerRow = float | int | Seq[float | int]
"""One value for all rows, or one for each."""


def choose(
    logits_BV: Float[Tensor, "B V"],
    generators: list[torch.Generator],
    temperature: PerRow,
    top_p: PerRow = 1.0,
    top_k: PerRow = 0,
    min_p: PerRow = 0.0,
) -> Int[Tensor, " B"]:
    """Draw one index per row, each with its own generator (Gumbel-max), so whatever the other rows are.

    A row of temperature 0 takes its largest logit and draws nothing.
    """
    likeliest_B = logits_BV.argmax(-1)
    count = len(logits_BV)
    temperatures = _per_row(temperature, count)
    warm = [row for row in range(count) if temperatures[row] > 0]
    if not warm:
        return likeliest_B
    rows = torch.tensor(warm)
    warmth, p, k, least = (
        torch.tensor(_per_row(values, count))[rows, None].to(logits_BV)
        for values in (temperature, top_p, top_k, min_p)
    )
    kept_BV = truncated(logits_BV[rows] / warmth, p, k, least)
    uniform = torch.stack([torch.rand(logits_BV.shape[-1], generator=generators[row]) for row in warm])
    waiting = -torch.log(uniform.clamp(min=1e-20))  # exponential, so its negative logarithm is Gumbel
    gumbel = -torch.log(waiting.clamp(min=1e-20))
    return likeliest_B.index_copy(0, rows, (kept_BV + gumbel.to(kept_BV)).argmax(-1))


def truncated(
    logits_BV: Float[Tensor, "B V"],
    top_p_B1: Float[Tensor, "B 1"],
    top_k_B1: Float[Tensor, "B 1"],
    min_p_B1: Float[Tensor, "B 1"],
) -> Float[Tensor, "B V"]:
    """The logits with what is too unlikely at minus infinity: by ``min_p``, then ``top_k``, then ``top_p``."""
    forbidden = float("-inf")
    if (min_p_B1 > 0).any():
        logits_BV = logits_BV.masked_fill(
            logits_BV < logits_BV.amax(-1, keepdim=True) + min_p_B1.log(), forbidden
        )
    if not ((top_k_B1 > 0).any() or (top_p_B1 < 1).any()):
        return logits_BV
    ordered, order = logits_BV.sort(dim=-1, descending=True)
    count = logits_BV.shape[-1]
    last_B1 = torch.where(top_k_B1 > 0, top_k_B1.clamp(max=count), count).long() - 1
    ordered = ordered.masked_fill(ordered < ordered.gather(-1, last_B1), forbidden)
    shares = ordered.softmax(-1)
    before = shares.cumsum(-1) - shares
    ordered = ordered.masked_fill((before >= top_p_B1) & (top_p_B1 < 1), forbidden)
    return logits_BV.scatter(-1, order, ordered)


def penalised(
    logits_BV: Float[Tensor, "B V"], seen_BV: Bool[Tensor, "B V"], penalty_B1: Float[Tensor, "B 1"]
) -> Float[Tensor, "B V"]:
    """Logits of ``seen`` tokens made smaller: divided by the penalty, or multiplied where they are negative."""
    smaller_BV = torch.where(logits_BV > 0, logits_BV / penalty_B1, logits_BV * penalty_B1)
    return torch.where(seen_BV, smaller_BV, logits_BV)


def _per_row(values: PerRow, count: int) -> list[float | int]:
    return list(values) if isinstance(values, Seq) else [values] * count
