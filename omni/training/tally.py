"""Figures of preferences, by modality of the answer: sums, counts and extremes that batches and ranks add up."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq

import torch
from jaxtyping import Float, Int
from torch import Tensor

from omni.modality import MODALITIES

SUM, COUNT, LEAST, MOST = range(4)


class Tally:
    """Means of some figures, and extremes of one."""

    def __init__(self, names: Seq[str], device: torch.device, extremes: str | None = None) -> None:
        """
        Args:
            names: of the figures.
            device: of the sums.
            extremes: the figure of which least and greatest value are told, too.
        """
        self.names, self.extremes = tuple(names), extremes
        shape = len(self.names), len(MODALITIES), 4
        self.table: Float[Tensor, "names M 4"] = torch.zeros(shape, dtype=torch.float64, device=device)
        self.table[..., LEAST], self.table[..., MOST] = torch.inf, -torch.inf

    def add(self, figures: Mapping[str, Float[Tensor, " n"]], answers_n: Int[Tensor, " n"]) -> None:
        """Add values; a figure may have several for each answer, one block behind another."""
        for row, name in zip(self.table, self.names, strict=True):
            values = figures[name].detach().double()
            repeated = answers_n.repeat(len(values) // max(1, len(answers_n)))
            row[:, SUM].index_add_(0, repeated, values)
            row[:, COUNT].index_add_(0, repeated, torch.ones_like(values))
            row[:, LEAST].scatter_reduce_(0, repeated, values, "amin")
            row[:, MOST].scatter_reduce_(0, repeated, values, "amax")

    def merge(self, tables: Float[Tensor, "ranks names M 4"]) -> None:
        """Take the place of the tables of all ranks together."""
        self.table[..., : COUNT + 1] = tables[..., : COUNT + 1].sum(0)
        self.table[..., LEAST] = tables[..., LEAST].amin(0)
        self.table[..., MOST] = tables[..., MOST].amax(0)

    def readings(self) -> dict[str, float]:
        """``NAME`` over all answers, ``NAME/MODALITY`` of those there were; ``min_``, ``mean_`` and ``max_`` of the
        figure with extremes."""
        found: dict[str, float] = {}
        for name, row_M4 in zip(self.names, self.table, strict=True):
            parts = {"": row_M4} | {f"/{m.name}": row_M4[m.id : m.id + 1] for m in MODALITIES}
            for ending, part in parts.items():
                if not part[:, COUNT].any():
                    continue
                mean = float(part[:, SUM].sum() / part[:, COUNT].sum())
                if name != self.extremes:
                    found[f"{name}{ending}"] = mean
                    continue
                found[f"min_{name}{ending}"] = float(part[:, LEAST].min())
                found[f"mean_{name}{ending}"] = mean
                found[f"max_{name}{ending}"] = float(part[:, MOST].max())
        return found
