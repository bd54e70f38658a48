"""All experts of a layer as two stacked matrices, applied to positions sorted by expert."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class Experts(nn.Module):
    """E SwiGLU experts. Weights: ``w13`` (E, 2H, D) and ``w2`` (E, D, H)."""

    def __init__(self, experts: int, width: int, hidden: int) -> None:
        super().__init__()
        self.w13 = nn.Parameter(torch.empty(experts, 2 * hidden, width))
        self.w2 = nn.Parameter(torch.empty(experts, width, hidden))

    def forward(self, x_RD: Float[Tensor, "R D"], counts_E: Int[Tensor, " E"]) -> Float[Tensor, "R D"]:
        """Apply expert e to its ``counts_E[e]`` rows; rows are sorted by expert."""
        if x_RD.dtype == torch.float64:  # grouped_mm has no fp64 kernel
            return self.looped(x_RD, counts_E)
        dtype, device = x_RD.dtype, x_RD.device.type
        if torch.is_autocast_enabled(device):  # grouped_mm does not follow it
            dtype = torch.get_autocast_dtype(device)
        offsets_E = counts_E.cumsum(0, dtype=torch.int32)
        w13, w2 = self.w13.to(dtype), self.w2.to(dtype)
        hidden = F.grouped_mm(x_RD.to(dtype), w13.transpose(1, 2), offs=offsets_E)  # (R, 2H)
        gate, up = hidden.chunk(2, dim=-1)
        return F.grouped_mm(F.silu(gate) * up, w2.transpose(1, 2), offs=offsets_E).to(x_RD.dtype)

    def looped(self, x_RD: Float[Tensor, "R D"], counts_E: Int[Tensor, " E"]) -> Float[Tensor, "R D"]:
        """The same, one expert after another: for fp64, and the reference in tests."""
        outputs = []
        parts = x_RD.split(counts_E.tolist())
        for x, w13, w2 in zip(parts, self.w13.unbind(0), self.w2.unbind(0), strict=True):
            gate, up = F.linear(x, w13).chunk(2, dim=-1)
            outputs.append(F.linear(F.silu(gate) * up, w2))
        return torch.cat(outputs)
