"""How one of several is drawn: the right share of each, from the right set, by each row's own generator."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from omni.inference.options import SamplingOptions
from omni.inference.sampling import choose

SHARES = torch.tensor([0.5, 0.25, 0.15, 0.1])


def drawn(probabilities: Tensor, count: int = 4000, **settings: Any) -> Tensor:
    """Share of draws that fell on each index; row i has seed i."""
    generators = [torch.Generator().manual_seed(seed) for seed in range(count)]
    indices = choose(probabilities.log().expand(count, -1), generators, **({"temperature": 1.0} | settings))
    return torch.bincount(indices, minlength=len(probabilities)) / count


def test_draws_follow_the_distribution() -> None:
    torch.testing.assert_close(drawn(SHARES), SHARES, rtol=0, atol=0.03)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_sharpens_or_flattens(temperature: float) -> None:
    expected = SHARES ** (1 / temperature)
    torch.testing.assert_close(
        drawn(SHARES, temperature=temperature), expected / expected.sum(), rtol=0, atol=0.03
    )


def test_temperature_0_takes_the_likeliest_and_draws_nothing() -> None:
    generator = torch.Generator().manual_seed(0)
    before = generator.get_state()
    assert choose(torch.tensor([[0.0, 3.0, 1.0]]), [generator], temperature=0.0).tolist() == [1]
    assert generator.get_state().equal(before)


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"top_k": 1}, [0]),
        ({"top_k": 2}, [0, 1]),
        ({"top_k": 99}, [0, 1, 2, 3]),
        ({"top_p": 0.3}, [0]),  # the likeliest is always kept
        ({"top_p": 0.6}, [0, 1]),  # 0.5 is not enough, 0.75 is
        ({"top_p": 0.76}, [0, 1, 2]),
        ({"top_p": 1.0}, [0, 1, 2, 3]),
        ({"top_k": 3, "top_p": 0.7}, [0, 1]),  # of the three kept, 0.5 / 0.9 is not enough
    ],
    ids=str,
)
def test_top_k_and_top_p_keep_the_likeliest(settings: dict[str, Any], kept: list[int]) -> None:
    shuffled = torch.tensor([2, 0, 3, 1])  # the order in the vocabulary must not matter
    expected = torch.zeros(4)
    expected[kept] = SHARES[kept] / SHARES[kept].sum()
    torch.testing.assert_close(drawn(SHARES[shuffled], **settings), expected[shuffled], rtol=0, atol=0.03)


def test_what_is_forbidden_is_never_drawn() -> None:
    assert drawn(torch.tensor([0.0, 1.0, 0.0, 0.0])).tolist() == [0, 1, 0, 0]


def test_a_row_draws_the_same_whatever_the_other_rows_are() -> None:
    logits = torch.randn(3, 10)

    def of(rows: list[int]) -> list[int]:
        return choose(
            logits[rows], [torch.Generator().manual_seed(row) for row in rows], 1.0, 0.9, 5
        ).tolist()

    first, second, third = of([0, 1, 2])
    assert (of([0]), of([2, 1])) == ([first], [third, second])


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"temperature": -1.0}, "temperature must not be negative, got -1.0"),
        ({"audio_temperature": -0.5}, "audio_temperature must not be negative, got -0.5"),
        ({"top_k": -1}, "top_k must not be negative, got -1"),
        ({"top_p": 0.0}, r"top_p must be in \(0, 1\], got 0.0"),
        ({"image_steps": 0}, "image_steps must be at least 1, got 0"),
        ({"max_text": 0}, "max_text must be at least 1, got 0"),
        ({"max_audio_seconds": 0.0}, "max_audio_seconds must be positive, got 0.0"),
    ],
)
def test_impossible_settings_are_refused_by_name(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        SamplingOptions(**settings)
