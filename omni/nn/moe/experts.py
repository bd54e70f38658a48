"""All experts of a layer as two stacked matrices, applied to positions sorted by expert."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from omni.nn.moe.swiglu import Activation, swiglu, swiglu_gradients
from omni.nn.precision import product_dtype


class Experts(nn.Module):
    """E SwiGLU experts. Weights: ``w13`` (E, 2H, D) and ``w2`` (E, D, H)."""

    def __init__(self, experts: int, width: int, hidden: int) -> None:
        super().__init__()
        self.w13 = nn.Parameter(torch.empty(experts, 2 * hidden, width))
        self.w2 = nn.Parameter(torch.empty(experts, width, hidden))
        self.activation = Activation(swiglu, swiglu_gradients)

    def forward(self, x_RD: Float[Tensor, "R D"], counts_E: Int[Tensor, " E"]) -> Float[Tensor, "R D"]:
        """Apply expert e to its ``counts_E[e]`` rows; rows are sorted by expert.

        The result has autocast's dtype where it is on, as that of ``nn.Linear``.
        """
        dtype = product_dtype(x_RD)  # grouped_mm does not follow autocast by itself
        if dtype == torch.float64:  # grouped_mm has no fp64 kernel
            return self.looped(x_RD, counts_E)
        ends_E = counts_E.cumsum(0, dtype=torch.int32)
        weights = self.w13.to(dtype), self.w2.to(dtype)
        return _Grouped.apply(x_RD.to(dtype), *weights, ends_E, self.activation)

    def looped(self, x_RD: Float[Tensor, "R D"], counts_E: Int[Tensor, " E"]) -> Float[Tensor, "R D"]:
        """The same, one expert after another: for fp64, and the reference in tests."""
        outputs = []
        parts = x_RD.split(counts_E.tolist())
        for x, w13, w2 in zip(parts, self.w13.unbind(0), self.w2.unbind(0), strict=True):
            gate, up = F.linear(x, w13).chunk(2, dim=-1)
            outputs.append(F.linear(F.silu(gate) * up, w2))
        return torch.cat(outputs)


class _Grouped(torch.autograd.Function):
    """SwiGLU by grouped products. By hand, so that what is kept and what is passed over again is the least."""

    @staticmethod
    def forward(
        ctx: Any, x_RD: Tensor, w13: Tensor, w2: Tensor, ends_E: Tensor, activation: Activation
    ) -> Tensor:
        hidden = F.grouped_mm(x_RD, w13.mT, offs=ends_E)  # (R, 2H)
        active = activation.forward(hidden)  # (R, H)
        ctx.save_for_backward(x_RD, w13, w2, ends_E, hidden, active)
        ctx.activation = activation
        return F.grouped_mm(active, w2.mT, offs=ends_E)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_RD: Tensor) -> Any:
        x_RD, w13, w2, ends_E, hidden, active = ctx.saved_tensors
        grad_w2 = F.grouped_mm(grad_RD.mT, active, offs=ends_E)
        grad_hidden = ctx.activation.gradients(F.grouped_mm(grad_RD, w2, offs=ends_E), hidden)
        grad_w13 = F.grouped_mm(grad_hidden.mT, x_RD, offs=ends_E)
        return F.grouped_mm(grad_hidden, w13, offs=ends_E), grad_w13, grad_w2, None, None
