"""Which experts a position goes to: token choice, dropless, balanced by a bias instead of a loss."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from omni.nn.config import MoEConfig
from omni.nn.precision import at_least_fp32
from omni.nn.recompute import recomputing


@dataclass(frozen=True, eq=False)
class Routing:
    """The router's choice for N positions."""

    experts_NT: Int[Tensor, "N T"]
    gates_NT: Float[Tensor, "N T"]
    """Weights of the chosen experts; they sum to 1."""
    z_N: Float[Tensor, " N"]
    """Squared log-sum-exp of the logits, for the z-loss."""


class Router(nn.Module):
    """Scores experts in fp32. ``bias`` shifts the choice, not the gates (arXiv 2412.19437, eq. 16)."""

    bias: Tensor
    load: Tensor

    def __init__(self, width: int, config: MoEConfig) -> None:
        super().__init__()
        self.config = config
        self.weight = nn.Parameter(torch.empty(config.experts, width))
        self.register_buffer("bias", torch.zeros(config.experts))
        self.register_buffer("load", torch.zeros(config.experts), persistent=False)

    def forward(self, x_ND: Float[Tensor, "N D"], counted_N: Bool[Tensor, " N"]) -> Routing:
        """Choose T experts per position; load is counted where ``counted_N`` (not on padding)."""
        with torch.autocast(x_ND.device.type, enabled=False):
            logits_NE = at_least_fp32(x_ND) @ at_least_fp32(self.weight).T
            scores_NE = logits_NE.sigmoid() if self.config.score == "sigmoid" else logits_NE.softmax(-1)
            experts_NT = (scores_NE.detach() + self.bias).topk(self.config.top_k, dim=-1).indices
            gates_NT = scores_NE.gather(-1, experts_NT)
            gates_NT = gates_NT / gates_NT.sum(-1, keepdim=True)
        if self.training and not recomputing():
            with torch.no_grad():
                self.load += torch.bincount(experts_NT[counted_N].flatten(), minlength=len(self.load))
        return Routing(experts_NT, gates_NT, logits_NE.logsumexp(-1).square())

    @torch.no_grad()
    def balance(self) -> None:
        """Move the bias towards even load, by the load of the whole optimizer step, and start counting anew.

        All ranks call it after the same step: the load counts over their batches together (arXiv 2501.11873).
        """
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            torch.distributed.all_reduce(self.load)
        self.bias += self.config.balance_rate * torch.sign(self.load.mean() - self.load)
        self.load.zero_()
