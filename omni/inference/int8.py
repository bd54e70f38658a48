"""Weights in int8, one scale a row: a quarter of what is read for each token, and somewhat other answers.

Only weights are kept in it: the kernel widens them as it reads them, and multiplies them with bf16 (weight-only
quantisation). ``torchao`` has it for ``nn.Linear``; our experts are one tensor a layer.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Int8
from torch import Tensor, nn

from omni.nn.embed import Embed
from omni.nn.moe.experts import Experts

LARGEST = 127
LANES = 32
"""Columns must come in these: the kernel reads whole registers."""


def quantised(weight: Float[Tensor, "*any O I"]) -> tuple[Int8[Tensor, "*any O I"], Float[Tensor, "*any O"]]:
    """Rounded weights and the scale of each row, whose largest weight becomes 127."""
    scale = weight.abs().amax(-1).clamp(min=torch.finfo(weight.dtype).tiny) / LARGEST
    return (weight / scale.unsqueeze(-1)).round().to(torch.int8), scale


def product(
    x_NI: Float[Tensor, "N I"], codes_OI: Int8[Tensor, "O I"], scale_O: Float[Tensor, " O"]
) -> Float[Tensor, "N O"]:
    """``x`` times the transposed weights; sums are rounded to bf16, since the kernel is fast in nothing else."""
    ones_O = torch.ones_like(scale_O, dtype=torch.bfloat16)
    sums_NO = torch._weight_int8pack_mm(x_NI.to(torch.bfloat16).contiguous(), codes_OI, ones_O)
    return sums_NO.to(x_NI.dtype) * scale_O


class Int8Linear(nn.Module):
    """A linear layer whose weights were quantised."""

    codes: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        codes, scale = quantised(linear.weight.detach())
        self.register_buffer("codes", codes)
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: Float[Tensor, "*any I"]) -> Float[Tensor, "*any O"]:
        """Apply to the last dimension."""
        out = product(x.reshape(-1, x.shape[-1]), self.codes, self.scale).view(*x.shape[:-1], -1)
        return out if self.bias is None else out + self.bias

    @property
    def weight(self) -> Float[Tensor, "O I"]:
        """The weights that it stands for, widened: for losses, which want the whole matrix."""
        return self.codes * self.scale[:, None]


class Int8Experts(nn.Module):
    """The experts of a layer, quantised row by row."""

    w13: Tensor
    w13_scale: Tensor
    w2: Tensor
    w2_scale: Tensor

    def __init__(self, experts: Experts) -> None:
        super().__init__()
        for name, weight in (("w13", experts.w13), ("w2", experts.w2)):
            codes, scale = quantised(weight.detach())
            self.register_buffer(name, codes)
            self.register_buffer(f"{name}_scale", scale)

    def forward(self, x_RD: Float[Tensor, "R D"], counts_E: Int[Tensor, " E"]) -> Float[Tensor, "R D"]:
        """Apply expert e to its ``counts_E[e]`` rows; rows are sorted by expert."""
        parts = x_RD.split(counts_E.tolist())
        return torch.cat([self.one(expert, x) for expert, x in enumerate(parts) if len(x)])

    def one(self, expert: int, x_ND: Float[Tensor, "N D"]) -> Float[Tensor, "N D"]:
        """Apply one expert to all rows."""
        gate, up = product(x_ND, self.w13[expert], self.w13_scale[expert]).chunk(2, dim=-1)
        return product(F.silu(gate) * up, self.w2[expert], self.w2_scale[expert])


def to_int8(model: nn.Module) -> None:
    """Quantise all matrices of a model in place; routers, norms and embeddings stay as they are.

    A matrix whose columns do not come in 32s stays, too.
    """
    for module in [module for module in model.modules() if not isinstance(module, Embed)]:
        for name, child in module.named_children():
            if isinstance(child, nn.Linear) and child.in_features % LANES == 0:
                setattr(module, name, Int8Linear(child))
            elif (
                isinstance(child, Experts) and child.w2.shape[-1] % LANES == child.w13.shape[-1] % LANES == 0
            ):
                setattr(module, name, Int8Experts(child))
