"""Muon against torch's own on single matrices, and against a loop over experts."""

from __future__ import annotations

from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from omni.optim.config import Adjust
from omni.optim.muon import Muon, directions, orthogonalised


def stepped(
    optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], gradients: list[Tensor]
) -> Tensor:
    """The parameters, stacked, after a step for each of the gradients (steps, parameters, rows, columns)."""
    for step in gradients:
        for parameter, gradient in zip(parameters, step, strict=True):
            parameter.grad = gradient.clone()
        optimizer.step()
    return torch.stack([parameter.detach() for parameter in parameters])


@pytest.mark.parametrize("adjust", get_args(Adjust))
@pytest.mark.parametrize("shape", [(48, 32), (32, 48), (32, 32), (4, 48, 32), (3, 16, 40)], ids=str)
def test_equals_torchs_own_on_each_matrix(shape: tuple[int, ...], adjust: Any) -> None:
    """Torch's takes the matrices of a stack as parameters of their own."""
    start, gradients = torch.randn(shape), [torch.randn(shape) for _ in range(4)]
    matrix = shape[-2:]
    alone = [nn.Parameter(weight.clone()) for weight in start.reshape(-1, *matrix)]
    expected = stepped(
        torch.optim.Muon(alone, lr=0.02, weight_decay=0.1, adjust_lr_fn=adjust),
        alone,
        [gradient.reshape(-1, *matrix) for gradient in gradients],
    )
    together = nn.Parameter(start.clone())
    ours = Muon([together], lr=0.02, weight_decay=0.1, adjust=adjust)
    got = stepped(ours, [together], [gradient[None] for gradient in gradients])
    torch.testing.assert_close(got.reshape(expected.shape), expected, rtol=0, atol=1e-6)
    assert (expected.reshape(shape) - start).abs().max() > 0.01


@settings(max_examples=20)
@given(
    st.integers(1, 5),
    st.lists(st.integers(1, 9), min_size=1, max_size=3),
    st.integers(1, 12),
    st.sampled_from(get_args(Adjust)),
)
def test_equals_a_loop_over_experts_and_parts(
    experts: int, rows: list[int], columns: int, adjust: Any
) -> None:
    x = torch.randn(experts, sum(rows), columns, dtype=torch.float64)
    group = {"rows": tuple(rows), "steps": 5, "adjust": adjust, "precision": "fp32"}
    looped = [
        torch.cat([directions(part, {**group, "rows": ()}) for part in expert.split(rows)]) for expert in x
    ]
    torch.testing.assert_close(directions(x, group), torch.stack(looped), rtol=1e-9, atol=1e-9)


def test_singular_values_come_near_one() -> None:
    torch.manual_seed(1)
    values = torch.linalg.svdvals(orthogonalised(torch.randn(6, 24, 40, dtype=torch.float64), steps=5))
    assert values.min() > 0.6 and values.max() < 1.25


def test_an_expert_without_gradient_stays_put() -> None:
    weight = nn.Parameter(torch.randn(3, 8, 16))
    before = weight.detach().clone()
    weight.grad = torch.randn(3, 8, 16)
    weight.grad[1] = 0
    Muon([weight], lr=0.1, weight_decay=0.0).step()
    moved = (weight - before).flatten(1).norm(dim=1)
    assert moved[1] == 0 and moved[0] > 0.1 and moved[2] > 0.1


@pytest.mark.parametrize(
    ("shape", "rows", "told"),
    [((5,), (), r"got a parameter of shape \(5,\)"), ((4, 6, 3), (2, 3), r"of \(2, 3\) rows .* \(4, 6, 3\)")],
)
def test_what_is_no_matrix_is_refused(shape: tuple[int, ...], rows: tuple[int, ...], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Muon([nn.Parameter(torch.zeros(shape))], rows=rows)
