"""Experts for few positions: each expert that anybody chose is applied to all of them.

While one sequence decodes, its position chooses T of E experts. Sorting, gathering and scattering it would take
longer than the little arithmetic that they save, and the weights are read once either way. As each position is
computed in a matrix of the same number of rows whatever the others choose, its bits do not depend on them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from omni.nn.moe.experts import Experts


def apply_to_all(
    experts: Experts,
    x_ND: Float[Tensor, "N D"],
    experts_NT: Int[Tensor, "N T"],
    gates_NT: Float[Tensor, "N T"],
) -> Float[Tensor, "N D"]:
    """The mixed output of positions; equal to sorting them by expert, up to rounding."""
    if len(x_ND) == 1:
        return _one(experts, x_ND, experts_NT[0].tolist(), gates_NT[0].tolist())
    chosen = sorted(set(experts_NT.flatten().tolist()))
    gates_NE = torch.zeros(len(x_ND), len(experts.w13), dtype=x_ND.dtype, device=x_ND.device)
    gates_NE = gates_NE.scatter(1, experts_NT, gates_NT.to(x_ND.dtype))
    out_ND = torch.zeros_like(x_ND)
    for expert in chosen:
        gate, up = F.linear(x_ND, experts.w13[expert]).chunk(2, dim=-1)
        out_ND.addcmul_(gates_NE[:, expert, None], F.linear(F.silu(gate) * up, experts.w2[expert]))
    return out_ND


def _one(experts: Experts, x_1D: Tensor, chosen: list[int], gates: list[float]) -> Tensor:
    out_1D = torch.zeros_like(x_1D)
    for expert, gate in zip(chosen, gates, strict=True):
        open_, up = F.linear(x_1D, experts.w13[expert]).chunk(2, dim=-1)
        out_1D.add_(F.linear(F.silu(open_).mul_(up), experts.w2[expert]), alpha=gate)
    return out_1D
