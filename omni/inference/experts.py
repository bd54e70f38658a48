"""The experts of a layer while a model generates."""

from __future__ import annotations

from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from omni.inference.int8 import Int8Experts
from omni.inference.matrix import Product, products_of
from omni.nn.moe.experts import Experts
from omni.nn.moe.rows import combine_rows, gather_rows, rows_of


class FewRows:
    """Applies experts to the few rows of a step: each expert is a product of its own, but for grouped ones on CUDA."""

    def __init__(self, experts: Experts | Int8Experts, packs: bool) -> None:
        self.experts, self.count = experts, len(experts.w13)
        self.products: list[Product]
        if isinstance(experts, Int8Experts):
            self.products = [partial(experts.one, expert) for expert in range(self.count)]
        else:
            pairs = zip(products_of(experts.w13, packs), products_of(experts.w2, packs), strict=True)
            self.products = [_swiglu(w13, w2) for w13, w2 in pairs]

    def sort(
        self, x_ND: Float[Tensor, "N D"], experts_NT: Int[Tensor, "N T"], gates_NT: Float[Tensor, "N T"]
    ) -> Float[Tensor, "N D"]:
        """The mixed output of positions: each expert is applied to those that chose it."""
        if x_ND.shape[0] == 1:  # nothing to sort
            return self._one(x_ND, experts_NT[0].tolist(), gates_NT[0].tolist())
        rows = rows_of(experts_NT, gates_NT, self.count)
        x_RD = gather_rows(x_ND, rows)
        if x_ND.device.type != "cpu":  # where counting would wait for the device
            return combine_rows(self.experts(x_RD, rows.counts_E), rows)
        parts = zip(self.products, x_RD.split(rows.counts_E.tolist()), strict=True)
        return combine_rows(torch.cat([product(x) for product, x in parts if x.shape[0]]), rows)

    def _one(self, x_1D: Tensor, chosen: list[int], gates: list[float]) -> Tensor:
        out_1D = torch.zeros_like(x_1D)
        for expert, gate in zip(chosen, gates, strict=True):
            out_1D.add_(self.products[expert](x_1D), alpha=gate)
        return out_1D

    def apply_to_all(
        self, x_ND: Float[Tensor, "N D"], experts_NT: Int[Tensor, "N T"], gates_NT: Float[Tensor, "N T"]
    ) -> Float[Tensor, "N D"]:
        """The same up to rounding: each expert that anybody chose is applied to all positions.

        As each is computed in a matrix of the same number of rows whatever the others choose, its bits do not depend
        on them.
        """
        gates_NE = torch.zeros(x_ND.shape[0], self.count, dtype=x_ND.dtype, device=x_ND.device)
        gates_NE = gates_NE.scatter(1, experts_NT, gates_NT.to(x_ND.dtype))
        out_ND = torch.zeros_like(x_ND)
        for expert in sorted(set(experts_NT.flatten().tolist())):
            out_ND.addcmul_(gates_NE[:, expert, None], self.products[expert](x_ND))
        return out_ND


def _swiglu(w13: Product, w2: Product) -> Product:
    def expert(x_ND: Tensor) -> Tensor:
        gate, up = w13(x_ND).chunk(2, dim=-1)
        return w2(F.silu(gate).mul_(up))

    return expert
