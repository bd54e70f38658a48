"""Matrices as generation multiplies with them.

A step of generation multiplies a few rows with every matrix, so it takes as long as the weights take to be read.
Torch's fp32 product on a CPU (MKL) reads them slowly for few rows. oneDNN takes half the time where it finds them
laid out in its own order, so they are *packed*: copied into that order once, which costs as much memory again.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

Product = Callable[[Tensor], Tensor]
"""(N, I) to (N, O)."""

_kept = WeakTensorKeyDictionary()
"""Of each weight: its version and place when it was packed, and the packed matrices."""


def product_of(weight: Float[Tensor, "O I"], packs: bool) -> Product:
    """The product with a matrix, packed if ``packs`` and where that is faster."""
    return _Packed(_pack(weight)[0]) if packs and _gains(weight) else _plain(weight)


def linear_product(linear: nn.Module, packs: bool) -> Product:
    """The product of a linear layer without a bias."""
    return product_of(linear.weight, packs) if isinstance(linear, nn.Linear) else linear


def products_of(weight: Float[Tensor, "E O I"], packs: bool) -> list[Product]:
    """The products with stacked matrices, one each."""
    if packs and _gains(weight):
        return [_Packed(matrix) for matrix in _pack(weight)]
    return [_plain(matrix) for matrix in weight]


def _plain(weight: Tensor) -> Product:
    return lambda x_NI: F.linear(x_NI, weight)


def _gains(weight: Tensor) -> bool:
    return (
        weight.device.type == "cpu" and weight.dtype is torch.float32 and torch.backends.mkldnn.is_available()
    )


def _pack(weight: Tensor) -> list[Tensor]:
    """The packed matrices of a weight, which are kept until it changes.

    A change is noticed where torch counts it: in-place operations and ``load_state_dict``, not those on ``.data``.
    """
    state = (0 if weight.is_inference() else weight._version, weight.data_ptr())
    known = _kept.get(weight)
    if known is None or known[0] != state:
        matrices = weight.detach().reshape(-1, *weight.shape[-2:])
        known = state, [torch.ops.mkldnn._reorder_linear_weight.default(matrix) for matrix in matrices]
        _kept[weight] = known
    packed: list[Tensor] = known[1]
    return packed


class _Packed:
    """The product with a packed matrix."""

    def __init__(self, matrix: Tensor) -> None:
        self.matrix = matrix

    def __call__(self, x_NI: Tensor) -> Tensor:
        count = x_NI.shape[0]  # len() of a tensor takes microseconds
        if padding := padded(count) - count:
            x_NI = F.pad(x_NI, (0, 0, 0, padding))
        out_NO: Tensor = torch.ops.mkldnn._linear_pointwise.default(x_NI, self.matrix, None, "none", [], "")
        return out_NO[:count] if padding else out_NO


def padded(rows: int) -> int:
    """Rows that a product is computed for: a kernel is made for each number of them, which takes a millisecond."""
    if rows <= 8:
        return rows
    grain = 4 if rows <= 32 else 16 if rows <= 128 else 64
    return rows + -rows % grain
