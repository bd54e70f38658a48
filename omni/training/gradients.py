"""Gradient norms of the parts of the model, at the price of the one norm that clipping needs.

Also of gradients that are split over ranks, over meshes of any kind: torch's own norm refuses parameters that lie
on different meshes, such as experts and the rest of a model.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from omni.modality import MODALITIES
from omni.model import OmniTransformer
from omni.nn.sharded import local

TINY = 1e-6
"""Added to the norm that gradients are divided by, as in ``torch.nn.utils.clip_grad_norm_``."""

STACK, EMBED, TABLE = "stack", "embed", "text_table"
"""Parts besides the heads: blocks and last norm, which all modalities share; input projections and encoders; a tied
text table, which is both and gets gradients from every document that has text in it."""


def parts_of(model: OmniTransformer) -> dict[nn.Parameter, str]:
    """The part of each parameter: a head (``text_head`` and so on), ``embed``, ``text_table`` or ``stack``."""
    heads = {f"{m.name}_head": getattr(model, f"{m.name}_head") for m in MODALITIES}
    parts = {parameter: name for name, head in heads.items() for parameter in head.parameters()}
    for parameter in model.embed.parameters():
        parts[parameter] = TABLE if parameter in parts else EMBED
    for parameter in model.encoders.parameters() if model.encoders is not None else ():
        parts[parameter] = EMBED
    for parameter in model.parameters():
        parts.setdefault(parameter, STACK)
    return parts


@dataclass(frozen=True, eq=False)
class GradientNorms:
    """The norm of each gradient there is: of the whole one, where ranks hold parts of it."""

    parameters: list[nn.Parameter]
    norms: Float[Tensor, " parameters"]

    @classmethod
    @torch.no_grad()
    def of(cls, parameters: Iterable[nn.Parameter]) -> GradientNorms:
        """Measure; parameters without a gradient are left out."""
        graded = {parameter: parameter.grad for parameter in parameters if parameter.grad is not None}
        gradients = list(graded.values())
        # the kernel of clip_grad_norm_: a step that is looked at is clipped as any other, to the last bit
        norms = torch.stack(torch._foreach_norm([local(gradient) for gradient in gradients]))
        return cls(list(graded), _over_ranks(norms, gradients))

    def by_part(self, model: OmniTransformer) -> dict[str, Float[Tensor, ""]]:
        """Norm of the gradients of each part together."""
        parts, found = parts_of(model), dict[str, list[Tensor]]()
        for parameter, norm in zip(self.parameters, self.norms, strict=True):
            found.setdefault(parts[parameter], []).append(norm)
        return {part: torch.linalg.vector_norm(torch.stack(norms)) for part, norms in found.items()}

    @property
    def total(self) -> Float[Tensor, ""]:
        """The norm of all gradients together."""
        return torch.linalg.vector_norm(self.norms)

    @torch.no_grad()
    def clip(self, most: float) -> None:
        """Scale all gradients so that their norm together is at most ``most``; the arithmetic is torch's."""
        factor = (most / (self.total + TINY)).clamp(max=1.0)
        torch._foreach_mul_([local(p.grad) for p in self.parameters if p.grad is not None], factor)


def _over_ranks(norms: Float[Tensor, " parameters"], gradients: Seq[Tensor]) -> Float[Tensor, " parameters"]:
    """Norms of whole gradients from those of this rank's parts: squares are added up over the ranks that split one."""
    splits = dict[tuple[Any, int], list[int]]()
    for number, gradient in enumerate(gradients):
        if isinstance(gradient, DTensor):
            for dimension, placement in enumerate(gradient.placements):
                if not placement.is_replicate():
                    splits.setdefault((gradient.device_mesh, dimension), []).append(number)
    if not splits:
        return norms
    squares = norms.double().square()
    for (mesh, dimension), numbers in splits.items():
        added = squares[numbers]
        dist.all_reduce(added, group=mesh.get_group(dimension))
        squares[numbers] = added
    return squares.sqrt().to(norms.dtype)
