"""Gradient norms of the parts of the model, at the price of the one norm that clipping needs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from omni.modality import MODALITIES
from omni.model import OmniTransformer

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
    """The norm of each gradient there is."""

    parameters: list[nn.Parameter]
    norms: Float[Tensor, " parameters"]

    @classmethod
    @torch.no_grad()
    def of(cls, parameters: Iterable[nn.Parameter]) -> GradientNorms:
        """Measure; parameters without a gradient are left out."""
        graded = {parameter: parameter.grad for parameter in parameters if parameter.grad is not None}
        # the kernel of clip_grad_norm_: a step that is looked at is clipped as any other, to the last bit
        return cls(list(graded), torch.stack(torch._foreach_norm(list(graded.values()))))

    def by_part(self, model: OmniTransformer) -> dict[str, Float[Tensor, ""]]:
        """Norm of the gradients of each part together."""
        parts, found = parts_of(model), dict[str, list[Tensor]]()
        for parameter, norm in zip(self.parameters, self.norms, strict=True):
            found.setdefault(parts[parameter], []).append(norm)
        return {part: torch.linalg.vector_norm(torch.stack(norms)) for part, norms in found.items()}

    def clip(self, most: float) -> None:
        """Scale all gradients so that their norm together is at most ``most``."""
        torch.nn.utils.clip_grads_with_norm_(self.parameters, most, torch.linalg.vector_norm(self.norms))
