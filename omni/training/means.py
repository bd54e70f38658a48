"""Losses per target over all batches and ranks of a step, however few of them have a modality."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from omni.losses import Losses, loss_names

Reduce = Callable[[Tensor], Tensor]
"""Adds a tensor up over all ranks."""


class Means:
    """Sums and counts of each modality, of one kind of batches or several.

    They are one vector of fixed length, and ranks add it up in one all-reduce: a rank without a modality has zeros
    there, so none waits for a figure that another doesn't have.
    """

    def __init__(self, device: torch.device, kinds: int = 1) -> None:
        self.sums: Float[Tensor, "kinds 2 M"] = torch.zeros(
            kinds, 2, len(loss_names()), dtype=torch.float64, device=device
        )

    def add(self, losses: Losses, kind: int = 0) -> None:
        """Count a batch."""
        self.sums[kind] += torch.stack([losses.sums_M.double(), losses.counts_M.double()])

    def take(self, reduce: Reduce) -> list[dict[str, Tensor]]:
        """The means of each kind by name, without what no rank has; then begin anew. All ranks get the same."""
        summed = reduce(self.sums)
        self.sums = torch.zeros_like(self.sums)
        return [
            {
                name: (total / count).float()
                for name, total, count in zip(loss_names(), *both, strict=True)
                if count
            }
            for both in summed
        ]
