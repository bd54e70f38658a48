"""Which experts a position goes to: dropless, balanced by a bias instead of a loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from omni.nn.config import MoEConfig
from omni.nn.moe.expert_choice import choose_positions
from omni.nn.moe.groups import kind_of, open_table
from omni.nn.moe.rows import Rows
from omni.nn.precision import at_least_fp32
from omni.nn.recompute import recomputing
from omni.sequence import PADDING


@dataclass(frozen=True, eq=False)
class Routing:
    """The router's choice for N positions."""

    experts_NT: Int[Tensor, "N T"]
    """The experts that each position chose; T is 0 where experts choose."""
    gates_NT: Float[Tensor, "N T"]
    """Weights of the chosen experts; they sum to 1."""
    z_N: Float[Tensor, " N"]
    """Squared log-sum-exp of the logits, for the z-loss."""
    scores_NE: Float[Tensor, "N E"]
    """Scores of all experts, before the bias; 0 for those that are not open to the position."""
    rows: Rows | None = None
    """What the experts chose, where experts choose."""


class Router(nn.Module):
    """Scores experts in fp32. ``bias`` shifts the choice, not the gates (arXiv 2412.19437, eq. 16)."""

    bias: Tensor
    load: Tensor
    open_KE: Tensor

    def __init__(self, width: int, config: MoEConfig) -> None:
        super().__init__()
        self.config, self.groups = config, config.expert_groups
        self.weight = nn.Parameter(torch.empty(config.experts, width))
        self.register_buffer("bias", torch.zeros(config.experts))
        self.register_buffer("load", torch.zeros(config.experts), persistent=False)
        self.register_buffer("open_KE", open_table(self.groups), persistent=False)

    def forward(self, x_ND: Float[Tensor, "N D"], modality_N: UInt8[Tensor, " N"]) -> Routing:
        """Choose T of the experts open to each position; load is counted where there is no padding."""
        config, closed_NE = self.config, self._closed(modality_N)
        with torch.autocast(x_ND.device.type, enabled=False):
            logits_NE, scores_NE = self._scores(x_ND, closed_NE)
            z_N = logits_NE.logsumexp(-1).square()
            if config.choice == "experts":
                rows = choose_positions(scores_NE, modality_N, self.groups, config.top_k)
                nobody_N0 = modality_N.new_zeros(len(x_ND), 0).long()
                return Routing(nobody_N0, scores_NE[:, :0], z_N, scores_NE, rows)
            experts_NT, gates_NT = self._chosen(scores_NE, closed_NE)
        if self.training and not recomputing():
            with torch.no_grad():
                chosen_R = experts_NT[modality_N != PADDING].flatten()
                self.load += torch.bincount(chosen_R, minlength=len(self.load))
        return Routing(experts_NT, gates_NT, z_N, scores_NE)

    def choose(
        self, x_ND: Float[Tensor, "N D"], modality_N: UInt8[Tensor, " N"]
    ) -> tuple[Int[Tensor, "N T"], Float[Tensor, "N T"]]:
        """Experts and gates as ``forward`` finds them, without what only training looks at."""
        closed_NE = self._closed(modality_N)
        return self._chosen(self._scores(x_ND, closed_NE)[1], closed_NE)

    def _scores(self, x_ND: Tensor, closed_NE: Tensor | None) -> tuple[Tensor, Tensor]:
        """Logits, and the scores of all experts, (N, E) both."""
        logits_NE = at_least_fp32(x_ND) @ at_least_fp32(self.weight).T
        if closed_NE is not None:
            logits_NE = logits_NE.masked_fill(closed_NE, float("-inf"))
        return logits_NE, logits_NE.sigmoid() if self.config.score == "sigmoid" else logits_NE.softmax(-1)

    def _chosen(self, scores_NE: Tensor, closed_NE: Tensor | None) -> tuple[Tensor, Tensor]:
        """The experts of the highest chances, and their gates, (N, T) both."""
        chances_NE = scores_NE.detach() + self.bias
        if closed_NE is not None:
            chances_NE = chances_NE.masked_fill(closed_NE, float("-inf"))
        experts_NT = chances_NE.topk(self.config.top_k, dim=-1).indices
        gates_NT = scores_NE.gather(-1, experts_NT)
        return experts_NT, gates_NT / gates_NT.sum(-1, keepdim=True)

    def _closed(self, modality_N: Tensor) -> Bool[Tensor, "N E"] | None:
        """The experts that a position may not use, where there are groups."""
        if len(self.groups) == 1:
            return None
        return ~self.open_KE.index_select(0, kind_of(modality_N))

    @torch.no_grad()
    def balance(self) -> None:
        """Move the bias towards even load, by the load of the whole optimizer step, and start counting anew.

        Even is the mean of an expert's own group: how much a group gets is up to the data, and in a hybrid to the
        router. All ranks call it after the same step: the load counts over their batches together (arXiv
        2501.11873). Where experts choose, nothing is counted and nothing moves.
        """
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(self.load)
        parts = self.load.split([group.size for group in self.groups])
        lacking_E = torch.cat([torch.sign(part.mean() - part) for part in parts])
        self.bias += self.config.balance_rate * lacking_E
        self.load.zero_()
