"""How unevenly experts of modalities load the GPUs that they are spread over."""

from __future__ import annotations

from omni.modality import MODALITIES
from omni.nn.config import MoEConfig
from omni.nn.moe.groups import open_counts
from omni.planning.workload import Mix


def busiest(moe: MoEConfig, mix: Mix, ep: int) -> float:
    """Rows of the fullest of ``ep`` ranks over the mean of all; 1 without groups.

    A modality's rows are taken to be even over the experts open to it, as the router's balance makes them inside
    each group; ranks hold neighbouring experts.
    """
    groups = moe.expert_groups
    if len(groups) == 1:
        return 1.0
    shares = [getattr(mix, m.name) / count for m, count in zip(MODALITIES, open_counts(groups), strict=True)]
    load_E = [sum(shares[m] for m in group.modalities) for group in groups for _ in range(group.size)]
    own = moe.experts // ep
    return ep * max(sum(load_E[rank * own : (rank + 1) * own]) for rank in range(ep))
