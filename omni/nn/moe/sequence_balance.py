"""The sequence-level balance loss of DeepSeek-V3 (arXiv 2412.19437, eq. 17-20), per document."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from omni.modality import MODALITIES
from omni.nn.moe.groups import Group, kind_of, open_counts


def sequence_balance(
    scores_NE: Float[Tensor, "N E"],
    document_N: Int[Tensor, " N"],
    modality_N: UInt8[Tensor, " N"],
    groups: tuple[Group, ...],
    top_k: int,
) -> Float[Tensor, ""]:
    """Sum over documents of positions x sum over experts of f x P; divided by all positions it is 1 at balance.

    f is an expert's share of the choices over the even share, P its mean share of the scores. f counts the T
    highest scores without the bias (eq. 18) and has no gradient. A sequence is a document; where modalities have
    experts of their own, it is the positions of one modality in a document, and "all experts" those open to it.
    Padding counts nothing.

    Args:
        scores_NE: of the router, 0 for experts that are not open to a position.
        document_N: number of each position's document.
        modality_N: modality id of each position.
        groups: of the experts.
        top_k: T.
    """
    kinds, experts = len(MODALITIES) + 1, scores_NE.shape[1]
    kind_N = kind_of(modality_N)
    if len(groups) == 1:  # one sequence, whatever its modalities
        kind_N = torch.where(kind_N < len(MODALITIES), 0, kind_N)
    sequence_N = document_N * kinds + kind_N
    sequences = int(document_N[-1] + 1) * kinds
    open_S = scores_NE.new_tensor([*open_counts(groups), 0]).repeat(sequences // kinds)  # none to padding

    chosen_NT = scores_NE.detach().topk(top_k, dim=-1).indices
    pairs_R = (sequence_N[:, None] * experts + chosen_NT).flatten()
    chosen_SE = torch.bincount(pairs_R, minlength=sequences * experts).view(sequences, experts)
    shares_NE = scores_NE / scores_NE.sum(-1, keepdim=True)
    shares_SE = shares_NE.new_zeros(sequences, experts).index_add(0, sequence_N, shares_NE)
    length_S = torch.bincount(sequence_N, minlength=sequences).clamp(min=1)
    return ((chosen_SE * shares_SE).sum(-1) * open_S / (top_k * length_S)).sum()
