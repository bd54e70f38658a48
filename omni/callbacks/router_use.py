"""What the routers chose, counted by layer and modality, and the figures that are read off the counts."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from omni.modality import MODALITIES
from omni.nn.moe.router import Routing


@dataclass(frozen=True, eq=False)
class RouterUse:
    """Counts of X layers, M modalities and E experts; those of batches and ranks are added up.

    One tensor, whose size does not depend on the data: ranks can add theirs even where one lacks a modality.
    """

    counts: Float[Tensor, "X M U"]
    """Per layer and modality: positions that went to both of two experts (E x E, the diagonal holds those of one
    expert), the entropy of the router's scores summed over positions (nats), and positions."""
    experts: int
    """E."""
    open_M: tuple[int, ...]
    """Experts open to each modality."""

    @classmethod
    def of(
        cls, routing: Routing, modality_N: UInt8[Tensor, " N"], open_M: tuple[int, ...] | None = None
    ) -> RouterUse:
        """Count one layer of one batch; padding is left out. By default all experts are open to all modalities."""
        experts, kinds = routing.scores_NE.shape[1], len(MODALITIES)
        kept_N = modality_N < kinds
        chosen_nT, modality_n = routing.experts_NT[kept_N], modality_N[kept_N].long()
        pair_nTT = (modality_n[:, None, None] * experts + chosen_nT[:, :, None]) * experts + chosen_nT[
            :, None
        ]
        pairs_MU = torch.bincount(pair_nTT.flatten(), minlength=kinds * experts**2).view(kinds, -1)
        scores_nE = routing.scores_NE.detach()[kept_N]
        nats_n = torch.special.entr(scores_nE / scores_nE.sum(-1, keepdim=True)).sum(-1)
        nats_M = nats_n.new_zeros(kinds).index_add(0, modality_n, nats_n)
        positions_M = torch.bincount(modality_n, minlength=kinds)
        rest_MU = torch.stack([nats_M, positions_M.to(nats_M)], dim=-1)
        return cls(
            torch.cat([pairs_MU.to(nats_M), rest_MU], dim=-1).unsqueeze(0),
            experts,
            open_M or (experts,) * kinds,
        )

    @classmethod
    def stack(cls, layers: list[RouterUse]) -> RouterUse:
        """Several layers as one."""
        return replace(layers[0], counts=torch.cat([layer.counts for layer in layers]))

    def __add__(self, other: RouterUse) -> RouterUse:
        """The counts of both, of the same layers."""
        return replace(self, counts=self.counts + other.counts)

    @property
    def positions(self) -> Float[Tensor, "X M"]:
        """Positions."""
        return self.counts[..., -1]

    @property
    def pairs(self) -> Float[Tensor, "X M E E"]:
        """Share of the positions that went to both experts of a pair; zeros on the diagonal."""
        pairs_XMEE = self.counts[..., :-2].unflatten(-1, (self.experts, self.experts))
        others_EE = 1 - torch.eye(self.experts).to(pairs_XMEE)
        return pairs_XMEE * others_EE / self.positions[..., None, None].clamp(min=1)

    @property
    def load(self) -> Float[Tensor, "X M E"]:
        """Share of each modality's choices that fell on each expert; zeros for an absent modality."""
        load = self.counts[..., :-2].unflatten(-1, (self.experts, self.experts)).diagonal(dim1=-2, dim2=-1)
        return load / load.sum(-1, keepdim=True).clamp(min=1)

    @property
    def entropy(self) -> Float[Tensor, "X M"]:
        """How undecided the router is: mean entropy of a position's scores, 1 where all open experts score alike."""
        return self.counts[..., -2] / self.positions.clamp(min=1) / self._most_nats

    @property
    def load_entropy(self) -> Float[Tensor, "X M"]:
        """How evenly a modality uses the experts: entropy of its load, 1 where all open ones get the same."""
        return torch.special.entr(self.load).sum(-1) / self._most_nats

    @property
    def _most_nats(self) -> Float[Tensor, " M"]:
        return self.counts.new_tensor(self.open_M).log().clamp(min=1e-9)

    @property
    def dead(self) -> Float[Tensor, " X"]:
        """Experts of each layer that no modality used."""
        return (self.load.sum(1) == 0).sum(-1).float()

    def figures(self) -> dict[str, Float[Tensor, "X M"]]:
        """By name, the figures that are logged."""
        load_XME = self.load
        return {
            "max_over_mean": load_XME.max(-1).values * load_XME.new_tensor(self.open_M),
            "unused_experts": load_XME.new_tensor(self.open_M) - (load_XME > 0).sum(-1),
            "entropy": self.entropy,
            "load_entropy": self.load_entropy,
            "top_pair": self.pairs.flatten(2).max(-1).values,
        }
