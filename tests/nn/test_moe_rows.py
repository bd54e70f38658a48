"""Rows of the experts: where they come from, how they go back, and their gradients, against plain indexing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from omni.nn.moe.rows import Rows, combine_rows, gather_rows, rows_of
from omni.nn.moe.swiglu import plain_gradients, plain_swiglu, swiglu, swiglu_gradients

CHOSEN = torch.tensor([[2, 0], [0, 1], [3, 2]])
GATES = torch.tensor([[0.7, 0.3], [0.6, 0.4], [0.9, 0.1]])


def test_rows_are_sorted_by_expert_and_each_position_finds_its_own() -> None:
    rows = rows_of(CHOSEN, GATES, 5)
    assert rows.counts_E.tolist() == [2, 1, 2, 1, 0]
    assert rows.source_R.tolist() == [0, 1, 1, 0, 2, 2]
    torch.testing.assert_close(rows.gates_R, torch.tensor([0.3, 0.6, 0.4, 0.7, 0.1, 0.9]))
    assert rows.place_R.tolist() == [3, 0, 1, 2, 5, 4]
    assert rows.starts_N.tolist() == [0, 2, 4]


def slow(x_ND: Tensor, rows: Rows) -> Tensor:
    """Gather, square, and add each row to its position."""
    out_ND = torch.zeros_like(x_ND)
    for source, gate in zip(rows.source_R.tolist(), rows.gates_R, strict=True):
        out_ND[source] = out_ND[source] + gate * x_ND[source].square()
    return out_ND


@given(st.integers(1, 9), st.integers(1, 4), st.integers(0, 2**16))
def test_gather_and_combine_equal_plain_indexing(positions: int, chosen: int, seed: int) -> None:
    torch.manual_seed(seed)
    experts_NT = torch.rand(positions, 4).argsort(-1)[:, :chosen]
    results = []
    x_ND = torch.randn(positions, 3, dtype=torch.float64, requires_grad=True)
    gates_NT = torch.rand(positions, chosen, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(positions, 3, dtype=torch.float64)
    for fast in (True, False):
        rows = rows_of(experts_NT, gates_NT, 4)
        out = combine_rows(gather_rows(x_ND, rows).square(), rows) if fast else slow(x_ND, rows)
        results.append((out, *torch.autograd.grad(out, (x_ND, gates_NT), upstream)))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_no_positions_have_no_rows() -> None:
    rows = rows_of(CHOSEN[:0], GATES[:0], 4)
    x_ND = torch.zeros(0, 8, requires_grad=True)
    out_ND = combine_rows(gather_rows(x_ND, rows), rows)
    out_ND.sum().backward()
    assert out_ND.shape == (0, 8) and rows.counts_E.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_gradients_have_the_precision_of_what_they_are_of(dtype: torch.dtype) -> None:
    gates = GATES.clone().requires_grad_()
    rows, x_ND = rows_of(CHOSEN, gates, 4), torch.randn(3, 8, dtype=dtype, requires_grad=True)
    out_ND = combine_rows(gather_rows(x_ND, rows), rows)
    out_ND.sum().backward()
    assert out_ND.dtype is dtype and x_ND.grad is not None and x_ND.grad.dtype is dtype
    assert gates.grad is not None and gates.grad.dtype is torch.float32
    torch.testing.assert_close(x_ND.grad, torch.ones_like(x_ND), rtol=0.01, atol=0.01)


@pytest.mark.parametrize("forward", [swiglu, plain_swiglu])
@pytest.mark.parametrize("gradients", [swiglu_gradients, plain_gradients])
def test_the_gradient_of_the_activation_is_that_of_autograd(forward, gradients) -> None:  # type: ignore[no-untyped-def]
    hidden, upstream = torch.randn(5, 16, dtype=torch.float64, requires_grad=True), torch.randn(5, 8).double()
    gate, up = hidden.chunk(2, dim=-1)
    expected = gate * gate.sigmoid() * up
    (grad,) = torch.autograd.grad(expected, hidden, upstream)
    torch.testing.assert_close(forward(hidden.detach()), expected)
    torch.testing.assert_close(gradients(upstream.clone(), hidden.detach()), grad)


def test_experts_chosen_by_nobody_are_empty() -> None:
    rows = rows_of(torch.zeros(3, 1, dtype=torch.long), torch.ones(3, 1), 4)
    assert rows.counts_E.tolist() == [3, 0, 0, 0]
