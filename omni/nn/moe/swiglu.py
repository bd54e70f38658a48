"""What stands between the two products of an expert, with its gradient.

Twice: with the fewest passes of torch's own kernels, and as plain formulas that a compiler makes one kernel of.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


class Activation(NamedTuple):
    """A function of the hidden rows and its gradient; both can be compiled."""

    forward: Callable[[Tensor], Tensor]
    gradients: Callable[[Tensor, Tensor], Tensor]


def swiglu(hidden: Float[Tensor, "R H2"]) -> Float[Tensor, "R H"]:
    """``silu(gate) * up`` of the two halves (arXiv 2002.05202)."""
    gate, up = hidden.chunk(2, dim=-1)
    return F.silu(gate).mul_(up)


def swiglu_gradients(grad: Float[Tensor, "R H"], hidden: Float[Tensor, "R H2"]) -> Float[Tensor, "R H2"]:
    """The gradient of ``hidden`` from that of ``swiglu``."""
    gate, up = hidden.chunk(2, dim=-1)
    grad_hidden = torch.empty_like(hidden)
    grad_gate, grad_up = grad_hidden.chunk(2, dim=-1)
    torch.mul(F.silu(gate), grad, out=grad_up)
    torch.mul(grad, up, out=grad_gate)
    torch.ops.aten.silu_backward.grad_input(grad_gate, gate, grad_input=grad_gate)
    return grad_hidden


def plain_swiglu(hidden: Float[Tensor, "R H2"]) -> Float[Tensor, "R H"]:
    """``swiglu`` for ``torch.compile``."""
    gate, up = hidden.chunk(2, dim=-1)
    return F.silu(gate) * up


def plain_gradients(grad: Float[Tensor, "R H"], hidden: Float[Tensor, "R H2"]) -> Float[Tensor, "R H2"]:
    """``swiglu_gradients`` for ``torch.compile``."""
    gate, up = hidden.chunk(2, dim=-1)
    share = gate.sigmoid()
    grad_gate = grad * up * share * (1 + gate * (1 - share))
    return torch.cat([grad_gate, grad * gate * share], dim=-1)
