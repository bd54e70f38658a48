"""Residual codebooks: each describes what those before it left over. Fitted by k-means, level by level."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor


def kmeans(
    points: Float[Tensor, "points C"], size: int, iterations: int, generator: torch.Generator
) -> Float[Tensor, "Q C"]:
    """Centres of ``size`` clusters (Lloyd's algorithm); an empty one restarts at a badly described point."""
    first = torch.randperm(len(points), generator=generator)[:size]
    centres_QC = points[first].clone()
    for _ in range(iterations):
        code, distance = nearest(points, centres_QC)
        count_Q = torch.bincount(code, minlength=size)
        total_QC = torch.zeros_like(centres_QC).index_add_(0, code, points)
        empty_Q = count_Q == 0
        centres_QC = total_QC / count_Q.clamp_min(1)[:, None]
        centres_QC[empty_Q] = points[distance.topk(int(empty_Q.sum())).indices]
    return centres_QC


def nearest(
    points: Float[Tensor, "points C"], centres_QC: Float[Tensor, "Q C"]
) -> tuple[Int[Tensor, " points"], Float[Tensor, " points"]]:
    """Index of the nearest centre of each point, and the squared distance less the point's own square."""
    distance = torch.addmm(centres_QC.square().sum(1), points, centres_QC.T, alpha=-2)
    least = distance.min(dim=1)
    return least.indices, least.values


def fit_residual_codebooks(
    points: Float[Tensor, "points C"], codebooks: int, size: int, iterations: int, generator: torch.Generator
) -> Float[Tensor, "K Q C"]:
    """K codebooks, each fitted to the residuals of those before it.

    Raises:
        ValueError: fewer points than codes.
    """
    if len(points) < size:
        raise ValueError(
            f"{len(points)} frames of audio to fit codebooks of {size} codes: "
            "give more recordings or a smaller codebook size"
        )
    levels = []
    for _ in range(codebooks):
        centres_QC = kmeans(points, size, iterations, generator)
        points = points - centres_QC[nearest(points, centres_QC)[0]]
        levels.append(centres_QC)
    return torch.stack(levels)


def residual_codes(
    points_FC: Float[Tensor, "F C"], codebooks_KQC: Float[Tensor, "K Q C"]
) -> Int[Tensor, "F K"]:
    """Codes of the points, chosen greedily level by level."""
    codes = []
    for centres_QC in codebooks_KQC:
        code_F, _ = nearest(points_FC, centres_QC)
        points_FC = points_FC - centres_QC[code_F]
        codes.append(code_F)
    return torch.stack(codes, dim=1)


def codes_to_points(
    codes_FK: Int[Tensor, "F K"], codebooks_KQC: Float[Tensor, "K Q C"]
) -> Float[Tensor, "F C"]:
    """Sum of the centres that the codes name."""
    level_K = torch.arange(len(codebooks_KQC))
    return codebooks_KQC[level_K, codes_FK].sum(dim=1)
