"""Which parameters learn how: their optimizer, learning rate and weight decay follow from their role."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from omni.nn.roles import BLOCKS, Role, roles_of, stacked_rows
from omni.optim.config import OptimConfig


class Kind(NamedTuple):
    """What the parameters of a group have in common."""

    muon: bool
    lr: float
    weight_decay: float
    rows: tuple[int, ...]
    """Of the matrices on top of each other in a parameter (Muon); empty for one."""


def parameter_groups(
    model: nn.Module, config: OptimConfig, width_ratio: float = 1.0
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Groups for Muon (none with ``adamw``) and for AdamW; what decays comes first.

    ``width_ratio`` is that of µP (arXiv 2203.03466, table 3): AdamW's learning rate of hidden and output matrices
    is divided by it. Their weight decay is multiplied by it, so that what a step takes off stays the same. Muon
    needs neither, as its updates are scaled by their shape.
    """
    rows, kinds = stacked_rows(model), dict[Kind, list[nn.Parameter]]()
    roles = roles_of(model)
    for name, parameter in model.named_parameters():
        role = roles[name]
        muon = config.optimizer == "muon" and role == "hidden" and name.startswith(BLOCKS)
        scale = width_ratio if role in ("hidden", "output") and not muon else 1.0
        kind = Kind(
            muon,
            config.lr * (config.muon.lr_scale if muon else 1 / scale),
            config.weight_decay * scale if _decays(role, config) else 0.0,
            rows.get(name, ()) if muon else (),
        )
        kinds.setdefault(kind, []).append(parameter)
    muon_groups: list[dict[str, Any]] = []
    adamw_groups: list[dict[str, Any]] = []
    for kind, params in sorted(kinds.items(), key=lambda item: item[0].weight_decay == 0):
        group = {"params": params, "lr": kind.lr, "weight_decay": kind.weight_decay}
        if kind.muon:
            muon_groups.append({**group, "rows": kind.rows})
        else:
            adamw_groups.append(group)
    return muon_groups, adamw_groups


def _decays(role: Role, config: OptimConfig) -> bool:
    return {"vector": config.decay_vectors, "table": config.decay_embeddings}.get(role, True)
