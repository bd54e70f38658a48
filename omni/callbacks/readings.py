"""What drift alarms are told by: sums that ranks and batches add up, and the figures read off them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from omni.losses import Losses
from omni.modality import MODALITIES
from omni.sequence import OmniBatch

Kind = Literal["loss", "norm", "gradient"]
LOSS, LOGITS, LAYERS = 0, 1, 2
"""Rows of the sums: losses, outputs of heads, then the stream behind each layer."""


class Reading(NamedTuple):
    """One figure of a step."""

    name: str
    """As it is logged, below ``drift/``."""
    title: str
    """As an alarm says it."""
    kind: Kind
    value: float


class Sums:
    """Sums and counts by modality, in one tensor whose size is the model's, whatever a batch holds."""

    def __init__(self, layers: int, device: torch.device) -> None:
        self.sums: Float[Tensor, "rows M 2"] = torch.zeros(LAYERS + layers, len(MODALITIES), 2, device=device)

    def add_losses(self, losses: Losses) -> None:
        """Losses of a batch."""
        self.sums[LOSS] += torch.stack([losses.sums_M.float(), losses.counts_M.float()], dim=-1)

    def add_outputs(self, squares_M2: Float[Tensor, "M 2"]) -> None:
        """Mean squares of the heads' outputs, and positions."""
        self.sums[LOGITS] += squares_M2

    def add_layer(self, layer: int, x_BSD: Float[Tensor, "B S D"], batch: OmniBatch) -> None:
        """The stream behind a layer (from 0): mean square of each position's channels."""
        modality_N = batch.modality.flatten().long()
        kept_N = (modality_N < len(MODALITIES)).float()
        dtype = torch.promote_types(x_BSD.dtype, torch.float32)
        norm_N = torch.linalg.vector_norm(x_BSD.flatten(0, 1), dim=-1, dtype=dtype)
        square_N = torch.where(kept_N > 0, norm_N.square().float() / x_BSD.shape[-1], 0.0)
        row = modality_N.clamp(max=len(MODALITIES) - 1)
        self.sums[LAYERS + layer].index_add_(0, row, torch.stack([square_N, kept_N], dim=-1))

    def readings(self) -> Iterator[Reading]:
        """Means, and root mean squares, of the modalities that there were."""
        losses, logits, *layers = self.sums.tolist()
        for modality in MODALITIES:
            name = modality.name
            total, count = losses[modality.id]
            if count:
                yield Reading(f"loss/{name}", f"loss of {name}", "loss", total / count)
            total, count = logits[modality.id]
            if count:
                title = f"output norm of the {name} head"
                yield Reading(f"output/{name}_head", title, "norm", (total / count) ** 0.5)
            for layer, sums in enumerate(layers, 1):
                total, count = sums[modality.id]
                if count:
                    title = f"hidden norm of {name} positions behind layer {layer}"
                    yield Reading(f"hidden/layer_{layer}/{name}", title, "norm", (total / count) ** 0.5)


def gradient_readings(norms: dict[str, Tensor]) -> Iterator[Reading]:
    """Norms of the gradients of the parts of the model."""
    for part, norm in norms.items():
        yield Reading(
            f"gradient/{part}", f"gradient norm of the {part.replace('_', ' ')}", "gradient", norm.item()
        )
