"""Residual codebooks against a loop over points, levels and codes."""

from __future__ import annotations

import pytest
import torch

from omni.tokenizers.audio.residual import (
    codes_to_points,
    fit_residual_codebooks,
    kmeans,
    residual_codes,
)


def points(count: int = 300, width: int = 5) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(1))


def fitted(codebooks: int = 3, size: int = 8) -> torch.Tensor:
    return fit_residual_codebooks(points(), codebooks, size, 10, torch.Generator().manual_seed(0))


def test_codes_are_the_nearest_level_by_level() -> None:
    codebooks_KQC = fitted()
    expected = []
    for point_C in points():
        codes = []
        for centres_QC in codebooks_KQC:
            code = min(range(len(centres_QC)), key=lambda q: float((point_C - centres_QC[q]).square().sum()))
            point_C = point_C - centres_QC[code]
            codes.append(code)
        expected.append(codes)
    assert residual_codes(points(), codebooks_KQC).tolist() == expected


def test_points_are_the_sum_of_their_centres() -> None:
    codebooks_KQC = torch.arange(12.0).view(2, 3, 2)
    codes_FK = torch.tensor([[0, 2], [1, 0]])
    assert codes_to_points(codes_FK, codebooks_KQC).tolist() == [[10.0, 12.0], [8.0, 10.0]]


def test_each_level_describes_more() -> None:
    codebooks_KQC = fitted(codebooks=4)
    errors = []
    for levels in range(1, 5):
        part = codebooks_KQC[:levels]
        errors.append(
            float((points() - codes_to_points(residual_codes(points(), part), part)).square().mean())
        )
    assert errors == sorted(errors, reverse=True)
    assert errors[3] < 0.3 * errors[0]


def test_clusters_are_found_and_none_stays_empty() -> None:
    true = torch.tensor([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    cloud = true.repeat(50, 1) + 0.1 * torch.randn(200, 2, generator=torch.Generator().manual_seed(2))
    centres = kmeans(cloud, 4, 20, torch.Generator().manual_seed(0))
    assert sorted(centres.round().tolist()) == sorted(true.tolist())


def test_more_codes_than_distinct_points() -> None:
    same = torch.ones(10, 3)
    centres = kmeans(same, 4, 5, torch.Generator().manual_seed(0))
    assert centres.isfinite().all()


def test_too_few_points() -> None:
    with pytest.raises(
        ValueError, match="7 frames of audio to fit codebooks of 8 codes: give more recordings"
    ):
        fit_residual_codebooks(points(7), 1, 8, 1, torch.Generator())
