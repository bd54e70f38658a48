"""Expert parallelism: rows go to the ranks that hold their experts, and what comes out goes back.

Ranks tell each other the exact number of rows for each expert first, so nothing is padded and nothing dropped. A
rank may send and get no rows at all; it takes part all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.distributed._functional_collectives import all_to_all_single

ApplyExperts = Callable[[Tensor, Tensor], Tensor]
"""From rows sorted by expert, and their numbers, to the experts' outputs."""


class ExpertExchange:
    """All-to-all over the ranks that share out the experts of each layer."""

    def __init__(self, group: dist.ProcessGroup) -> None:
        self.group, self.ranks = group, group.size()

    def __call__(
        self, x_RD: Float[Tensor, "R D"], counts_E: Int[Tensor, " E"], apply: ApplyExperts
    ) -> Float[Tensor, "R D"]:
        """Apply all E experts to rows sorted by expert; ``apply`` applies those of this rank.

        Args:
            x_RD: this rank's rows.
            counts_E: its rows for each expert of the layer.
            apply: takes the rows of all ranks for the experts of this one.
        """
        sent_re = counts_E.view(self.ranks, -1)  # to each rank, for each of its experts
        got_re = torch.empty_like(sent_re)
        dist.all_to_all_single(got_re, sent_re.contiguous(), group=self.group)
        sent, got = torch.stack([sent_re.sum(1), got_re.sum(1)]).tolist()
        expert_R = torch.arange(got_re.shape[1], device=x_RD.device).repeat(self.ranks)
        order_R = expert_R.repeat_interleave(got_re.flatten()).argsort(stable=True)
        back_R = torch.empty_like(order_R)
        back_R[order_R] = torch.arange(len(order_R), device=x_RD.device)

        here_RD = all_to_all_single(x_RD.contiguous(), got, sent, self.group)
        out_RD = apply(_Permute.apply(here_RD, order_R, back_R), got_re.sum(0))
        out_RD = _Permute.apply(out_RD, back_R, order_R)
        return all_to_all_single(out_RD, sent, got, self.group)


class _Permute(torch.autograd.Function):
    """``x[order]``, whose gradient is a gather as well."""

    @staticmethod
    def forward(ctx: Any, x_RD: Tensor, order_R: Tensor, back_R: Tensor) -> Tensor:
        ctx.save_for_backward(back_R)
        return x_RD.index_select(0, order_R)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_RD: Tensor) -> Any:
        (back_R,) = ctx.saved_tensors
        return grad_RD.index_select(0, back_R), None, None
