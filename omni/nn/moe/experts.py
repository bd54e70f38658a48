"""All experts of a layer as two stacked matrices, applied to positions sorted by expert."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from omni.nn.moe.exchange import ExpertExchange
from omni.nn.moe.swiglu import Activation, swiglu, swiglu_gradients
from omni.nn.precision import product_dtype
from omni.nn.sharded import local


class Experts(nn.Module):
    """E SwiGLU experts. Weights: ``w13`` (E, 2H, D) and ``w2`` (E, D, H)."""

    def __init__(self, experts: int, width: int, hidden: int) -> None:
        super().__init__()
        self.w13 = nn.Parameter(torch.empty(experts, 2 * hidden, width))
        self.w2 = nn.Parameter(torch.empty(experts, width, hidden))
        self.activation = Activation(swiglu, swiglu_gradients)
        self.exchange: ExpertExchange | None = None
        """Where the experts are shared out over ranks, which then each hold some of them."""

    def forward(self, x_RD: Float[Tensor, "R D"], counts_E: Int[Tensor, " E"]) -> Float[Tensor, "R D"]:
        """Apply expert e to its ``counts_E[e]`` rows; rows are sorted by expert.

        The result has autocast's dtype where it is on, as that of ``nn.Linear``.
        """
        if self.exchange is not None:
            return self.exchange(x_RD, counts_E, self.here)
        return self.here(x_RD, counts_E)

    def here(self, x_RD: Float[Tensor, "R D"], counts_E: Int[Tensor, " e"]) -> Float[Tensor, "R D"]:
        """``forward`` for the experts that this rank holds."""
        dtype = product_dtype(x_RD)  # grouped_mm does not follow autocast by itself
        if dtype == torch.float64:  # grouped_mm has no fp64 kernel
            return self.looped(x_RD, counts_E)
        ends_E = counts_E.cumsum(0, dtype=torch.int32)
        w13, w2 = local(self.w13).to(dtype), local(self.w2).to(dtype)
        hidden = F.grouped_mm(x_RD.to(dtype), w13.mT, offs=ends_E)  # (R, 2H)
        active = _Activate.apply(hidden, self.activation)  # (R, H)
        return F.grouped_mm(active, w2.mT, offs=ends_E)

    def looped(self, x_RD: Float[Tensor, "R D"], counts_E: Int[Tensor, " e"]) -> Float[Tensor, "R D"]:
        """The same, one expert after another: for fp64, and the reference in tests."""
        outputs = []
        parts = x_RD.split(counts_E.tolist())
        for x, w13, w2 in zip(parts, local(self.w13).unbind(0), local(self.w2).unbind(0), strict=True):
            gate, up = F.linear(x, w13).chunk(2, dim=-1)
            outputs.append(F.linear(F.silu(gate) * up, w2))
        return torch.cat(outputs)


class _Activate(torch.autograd.Function):
    """An activation whose gradient is written by hand, so that its input alone is kept."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, activation: Activation) -> Tensor:
        ctx.save_for_backward(hidden)
        ctx.activation = activation
        return activation.forward(hidden)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Any:
        (hidden,) = ctx.saved_tensors
        return ctx.activation.gradients(grad, hidden), None
