"""Expert choice: experts pick positions instead of positions experts (arXiv 2202.09368). For comparison only.

An expert compares all positions of the batch, so what comes out for a position depends on the others: on other
documents, and on later positions of its own. A model that was trained so can't be asked to generate.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from omni.modality import MODALITIES
from omni.nn.moe.groups import Group, open_counts
from omni.nn.moe.rows import Rows


def capacities(positions: list[int], groups: tuple[Group, ...], top_k: int) -> list[int]:
    """Positions that each expert of a group takes.

    A position has ``top_k`` experts in the mean (the paper's capacity factor), spread evenly over those open to
    its modality; parts of a position are rounded up. Without groups: positions x top_k / experts.

    Args:
        positions: of each modality in the batch.
        groups: of the experts.
        top_k: experts per position in the mean.
    """
    shares = [Fraction(n * top_k, open_) for n, open_ in zip(positions, open_counts(groups), strict=True)]
    return [ceil(sum(shares[m] for m in group.modalities)) for group in groups]


def choose_positions(
    scores_NE: Float[Tensor, "N E"], modality_N: UInt8[Tensor, " N"], groups: tuple[Group, ...], top_k: int
) -> Rows:
    """Each expert takes the positions with its highest scores, among those it is open to and never padding.

    The gates are the scores themselves, as in the paper: the number of experts of a position is not fixed.
    """
    present = [modality_N == m.id for m in MODALITIES]
    positions = [int(marked.sum()) for marked in present]
    sources, gates, counts, first = [], [], [], 0
    for group, capacity in zip(groups, capacities(positions, groups, top_k), strict=True):
        open_N = torch.stack([present[m] for m in group.modalities]).any(0).nonzero().squeeze(1)
        scores_nE = scores_NE[:, first : first + group.size].index_select(0, open_N)
        best = scores_nE.topk(capacity, dim=0)
        sources.append(open_N[best.indices.T.flatten()])
        gates.append(best.values.T.flatten())
        counts += [capacity] * group.size
        first += group.size
    source_R = torch.cat(sources)
    rows_N = torch.bincount(source_R, minlength=len(scores_NE))
    return Rows(
        counts_E=torch.tensor(counts, device=scores_NE.device),
        source_R=source_R,
        gates_R=torch.cat(gates),
        place_R=source_R.argsort(stable=True),
        starts_N=rows_N.cumsum(0) - rows_N,
    )
