"""From positions to the experts' rows and back.

A row is one position at one of its experts. Rows lie sorted by expert; each position knows the places of its own.
So both ways, and both gradients, are gathers: nothing is scattered, which on CPU goes one element after another
and on CUDA in any order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable


@dataclass(frozen=True, eq=False)
class Rows:
    """R rows, sorted by expert."""

    counts_E: Int[Tensor, " E"]
    """Rows of each expert."""
    source_R: Int[Tensor, " R"]
    """Position of each row."""
    gates_R: Float[Tensor, " R"]
    """Weight of each row in the output of its position."""
    place_R: Int[Tensor, " R"]
    """Places of the rows of position 0, then of position 1, and so on."""
    starts_N: Int[Tensor, " N"]
    """Where each position begins in ``place_R``."""


def rows_of(experts_NT: Int[Tensor, "N T"], gates_NT: Float[Tensor, "N T"], experts: int) -> Rows:
    """The rows of positions that chose T of ``experts`` experts each."""
    chosen, experts_R = experts_NT.shape[1], experts_NT.flatten()
    order_R = experts_R.argsort(stable=True)
    rows, device = len(order_R), order_R.device
    return Rows(
        counts_E=torch.bincount(experts_R, minlength=experts),
        source_R=order_R // chosen,
        gates_R=gates_NT.flatten().index_select(0, order_R),
        place_R=torch.empty_like(order_R).index_copy_(0, order_R, torch.arange(rows, device=device)),
        starts_N=torch.arange(0, rows, chosen, device=device),
    )


def gather_rows(x_ND: Float[Tensor, "N D"], rows: Rows) -> Float[Tensor, "R D"]:
    """What each row's expert reads."""
    return _Gather.apply(x_ND, rows.source_R, rows.place_R, rows.starts_N)


def combine_rows(y_RD: Float[Tensor, "R D"], rows: Rows) -> Float[Tensor, "N D"]:
    """Weighted sum of each position's rows."""
    return _Combine.apply(y_RD, rows.gates_R, rows.source_R, rows.place_R, rows.starts_N)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x_ND: Tensor, source_R: Tensor, place_R: Tensor, starts_N: Tensor) -> Tensor:
        ctx.save_for_backward(place_R, starts_N)
        return x_ND.index_select(0, source_R)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_RD: Tensor) -> Any:
        place_R, starts_N = ctx.saved_tensors
        return F.embedding_bag(place_R, grad_RD, starts_N, mode="sum"), None, None, None


class _Combine(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, y_RD: Tensor, gates_R: Tensor, source_R: Tensor, place_R: Tensor, starts_N: Tensor
    ) -> Tensor:
        ctx.save_for_backward(y_RD, gates_R, source_R)
        weights_R = gates_R.index_select(0, place_R).to(y_RD.dtype)
        return F.embedding_bag(place_R, y_RD, starts_N, mode="sum", per_sample_weights=weights_R)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_ND: Tensor) -> Any:
        y_RD, gates_R, source_R = ctx.saved_tensors
        grad_RD = grad_ND.index_select(0, source_R)
        grad_gates_R = (grad_RD * y_RD).sum(1, dtype=gates_R.dtype)
        return grad_RD.mul_(gates_R.to(grad_RD.dtype)[:, None]), grad_gates_R, None, None, None
