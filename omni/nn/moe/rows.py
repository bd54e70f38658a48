"""From positions to the experts' rows: one for each pair of a position and an expert, sorted by expert."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Rows:
    """R rows, sorted by expert."""

    counts_E: Int[Tensor, " E"]
    """Rows of each expert."""
    source_R: Int[Tensor, " R"]
    """Position of each row."""
    gates_R: Float[Tensor, " R"]
    """Weight of each row in the output of its position."""


def rows_of(experts_NT: Int[Tensor, "N T"], gates_NT: Float[Tensor, "N T"], experts: int) -> Rows:
    """The rows of positions that chose T of ``experts`` experts each."""
    experts_R = experts_NT.flatten()
    order_R = experts_R.argsort(stable=True)
    return Rows(
        counts_E=torch.bincount(experts_R, minlength=experts),
        source_R=order_R // experts_NT.shape[1],
        gates_R=gates_NT.flatten().index_select(0, order_R),
    )
