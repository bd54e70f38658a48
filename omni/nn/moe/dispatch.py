"""Which expert computes which positions: one row for each pair, sorted by expert."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a layer's experts, those of expert 0 first."""

    source_R: Int[Tensor, " R"]
    """Position that each row is a copy of."""
    gates_R: Float[Tensor, " R"]
    """Weight of the row's result in its position's output."""
    counts_E: Int[Tensor, " E"]
    """Rows of each expert."""


def rows_by_expert(experts_NT: Int[Tensor, "N T"], gates_NT: Float[Tensor, "N T"], experts: int) -> Rows:
    """The rows where each position has chosen T experts."""
    experts_R = experts_NT.flatten()
    order_R = experts_R.argsort(stable=True)
    return Rows(
        source_R=order_R // experts_NT.shape[1],
        gates_R=gates_NT.flatten().index_select(0, order_R),
        counts_E=torch.bincount(experts_R, minlength=experts),
    )
