"""Cross entropy of a linear map to a large vocabulary, with z-loss, without the logits of all positions.

Positions are taken in chunks, and a chunk's gradients are computed while its logits are there, so that nothing
is computed twice (as in Liger Kernel, arXiv 2410.10989). What lives is one chunk of logits and the gradients.
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable


def chunked_cross_entropy(
    hidden_ND: Float[Tensor, "N D"],
    weight_VD: Float[Tensor, "V D"],
    ids_N: Int[Tensor, " N"],
    chunk: int,
    z_loss: float = 0.0,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """What to differentiate, and the nats in it (detached); both summed over positions.

    The former is nats + ``z_loss`` * (log of the softmax' denominator)^2, which keeps logits from drifting
    (PaLM, arXiv 2204.02311, section 5). Products are in the type of ``hidden_ND``, or autocast's; softmax, sums
    and the weight's gradient are at least fp32.

    Raises:
        RuntimeError: a second backward pass; the first one uses the gradients up.
    """
    device = hidden_ND.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden_ND.dtype
    wanted = tuple(torch.is_grad_enabled() and x.requires_grad for x in (hidden_ND, weight_VD))
    with torch.autocast(device, enabled=False):
        return _Chunked.apply(hidden_ND, weight_VD, ids_N, chunk, z_loss, dtype, wanted)


class _Chunked(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden_ND: Tensor,
        weight_VD: Tensor,
        ids_N: Tensor,
        chunk: int,
        z_loss: float,
        dtype: torch.dtype,
        wanted: tuple[bool, bool],
    ) -> tuple[Tensor, Tensor]:
        exact = torch.promote_types(dtype, torch.float32)
        low_VD = weight_VD.to(dtype)
        nats = hidden_ND.new_zeros((), dtype=exact)
        z = torch.zeros_like(nats)
        grad_ND = torch.empty_like(hidden_ND) if wanted[0] else None
        grad_VD = torch.zeros_like(weight_VD, dtype=exact) if wanted[1] else None
        logits_nV = hidden_ND.new_empty(min(chunk, len(ids_N)), len(weight_VD), dtype=exact)
        for start in range(0, len(ids_N), chunk):
            part = slice(start, start + chunk)
            hidden_nD, ids_n1 = hidden_ND[part].to(dtype), ids_N[part].unsqueeze(1)
            x_nV = logits_nV[: len(ids_n1)]
            _product(hidden_nD, low_VD.T, x_nV)
            top_n1, wanted_n1 = x_nV.amax(1, keepdim=True), x_nV.gather(1, ids_n1)
            torch.softmax(x_nV, 1, out=x_nV)
            lse_n1 = top_n1 - x_nV.amax(1, keepdim=True).log()
            nats += (lse_n1 - wanted_n1).sum()
            z += lse_n1.square().sum()
            if not any(wanted):
                continue
            if z_loss:
                x_nV *= 1 + 2 * z_loss * lse_n1
            x_nV.scatter_(1, ids_n1, x_nV.gather(1, ids_n1) - 1)
            grad_nV = x_nV.to(dtype)
            if grad_ND is not None:
                grad_ND[part] = grad_nV @ low_VD
            if grad_VD is not None:
                _add_product(grad_nV.T, hidden_nD, grad_VD)
        ctx.gradients = grad_ND, grad_VD
        ctx.weight_dtype = weight_VD.dtype
        ctx.mark_non_differentiable(nats)
        return nats + z_loss * z, nats

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.gradients is None:
            raise RuntimeError(
                "a second backward pass through the text head's loss: its gradients were used up by the first; "
                "compute the loss again"
            )
        (grad_ND, grad_VD), ctx.gradients = ctx.gradients, None
        if grad_ND is not None:
            grad_ND *= upstream.to(grad_ND.dtype)
        if grad_VD is not None:
            grad_VD = (grad_VD.mul_(upstream)).to(ctx.weight_dtype)
        return grad_ND, grad_VD, None, None, None, None, None


def _product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """``out = a @ b``, where ``out`` may be of higher precision."""
    if a.dtype == out.dtype:
        torch.mm(a, b, out=out)
    else:
        out.copy_(a @ b)


def _add_product(a: Tensor, b: Tensor, out: Tensor) -> None:
    """``out += a @ b``, where ``out`` may be of higher precision."""
    if a.dtype == out.dtype:
        torch.addmm(out, a, b, out=out)
    else:
        out += a @ b
