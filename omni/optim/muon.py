"""Muon: momentum whose steps are made orthogonal, matrix by matrix (kellerjordan.github.io/posts/muon).

As ``torch.optim.Muon``, which takes one 2-D matrix at a time, but for stacks of matrices: the experts of a layer,
(E, rows, columns), are orthogonalised one by one in one batched iteration. Parameters may be DTensors. What is
sharded by expert stays where it is, so every rank sees to its own experts; a sharded matrix is gathered for
the iteration, on every rank.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributed.tensor import DTensor, Replicate

from omni.nn.precision import at_least_fp32
from omni.optim.config import Adjust

QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of x, x^3 and x^5 in the Newton-Schulz iteration."""
TINY = 1e-7
"""Least norm that a matrix is divided by; one that is all zeros stays so."""


class Muon(torch.optim.Optimizer):
    """Muon for parameters of two or more dimensions; those before the last two count matrices.

    A group's ``rows``, where it has any, are the rows of the matrices that lie on top of each other in each of its
    parameters. They are orthogonalised apart. The state is one momentum buffer per parameter.
    """

    def __init__(
        self,
        params: Iterable[Tensor] | Iterable[dict[str, Any]],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        steps: int = 5,
        adjust: Adjust = "match_rms_adamw",
        precision: str = "bf16",
        rows: tuple[int, ...] = (),
    ) -> None:
        """
        Args:
            params: parameters or groups of them.
            lr: learning rate, before ``adjust``.
            weight_decay: decoupled; multiplied by ``lr`` as it is before ``adjust``.
            momentum: decay rate of the momentum.
            steps: Newton-Schulz iterations.
            adjust: how the learning rate follows the shape of a matrix.
            precision: of the iteration, ``bf16`` or ``fp32`` (fp64 for fp64 parameters).
            rows: see the class; by default a parameter holds one matrix, or one per expert.

        Raises:
            ValueError: a parameter that is no matrix, or whose rows ``rows`` don't add up to.
        """
        settings = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "steps": steps}
        super().__init__(params, {**settings, "adjust": adjust, "precision": precision, "rows": rows})
        for group in self.param_groups:
            for parameter in group["params"]:
                shape = tuple(parameter.shape)
                if len(shape) < 2:
                    raise ValueError(
                        f"Muon takes matrices and stacks of them, got a parameter of shape {shape}"
                    )
                if group["rows"] and sum(group["rows"]) != shape[-2]:
                    raise ValueError(f"matrices of {group['rows']} rows don't make up a parameter of {shape}")

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step; the result is that of ``closure``, which is called first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: Tensor, group: dict[str, Any]) -> None:
        gradient, state = parameter.grad, self.state[parameter]
        assert gradient is not None, parameter.shape
        if not state:
            state["momentum_buffer"] = torch.zeros_like(gradient)
        buffer = state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(buffer, group["momentum"])
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(whole_matrices(ahead, lambda local: directions(local, group)), alpha=-group["lr"])


def directions(
    x: Float[Tensor, "*stack rows columns"], group: dict[str, Any]
) -> Float[Tensor, "*stack rows columns"]:
    """What the matrices move along: orthogonal, and scaled by ``adjust``."""
    parts = x.split(group["rows"] or (x.shape[-2],), dim=-2)
    dtype = torch.bfloat16 if group["precision"] == "bf16" else at_least_fp32(x).dtype
    moved = [
        orthogonalised(part.to(dtype), group["steps"])
        .to(x.dtype)
        .mul_(lr_factor(group["adjust"], part.shape[-2], part.shape[-1]))
        for part in parts
    ]
    return moved[0] if len(moved) == 1 else torch.cat(moved, dim=-2)


def lr_factor(adjust: Adjust, rows: int, columns: int) -> float:
    """What the learning rate of a matrix is multiplied by; see ``Adjust``."""
    if adjust == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    ratio = rows / columns
    return math.sqrt(max(1.0, ratio) if adjust == "original" else ratio)


def orthogonalised(
    x: Float[Tensor, "*stack rows columns"], steps: int
) -> Float[Tensor, "*stack rows columns"]:
    """Each matrix with its singular values brought near 1 by a quintic Newton-Schulz iteration.

    The values end between about 0.7 and 1.2, which trains as well as exact ones.
    """
    linear, cubic, quintic = QUINTIC
    tall = x.shape[-2] > x.shape[-1]
    wide = (x.mT if tall else x).reshape(-1, *sorted(x.shape[-2:]))
    wide = wide / wide.norm(dim=(-2, -1), keepdim=True).clamp(min=TINY)
    for _ in range(steps):
        gram = wide @ wide.mT
        polynomial = torch.baddbmm(gram, gram, gram, beta=cubic, alpha=quintic)
        wide = torch.baddbmm(wide, polynomial, wide, beta=linear)
    return (wide.mT if tall else wide).reshape(x.shape)


def whole_matrices(x: Tensor, apply: Callable[[Tensor], Tensor]) -> Tensor:
    """``apply`` to ``x``; to this rank's matrices where it is a DTensor, gathered where they are split."""
    if not isinstance(x, DTensor):
        return apply(x)
    stacked = x.ndim - 2  # dimensions that count matrices
    kept = [p if getattr(p, "dim", stacked) < stacked else Replicate() for p in x.placements]
    gathered = x.redistribute(placements=kept)
    moved = DTensor.from_local(
        apply(gathered.to_local()), x.device_mesh, kept, run_check=False, shape=x.shape, stride=x.stride()
    )
    return moved.redistribute(placements=x.placements)
