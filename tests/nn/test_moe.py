"""Experts, router and their balance, against loops over experts and over positions."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from omni.nn.config import MoEConfig
from omni.nn.moe.experts import Experts
from omni.nn.moe.router import Router
from omni.sequence import PADDING
from tests.nn.moe_layer import all_text, make_moe, slow_moe, swiglu
from tests.tiny_model import gradients

COUNTS = [(3, 0, 5, 1), (0, 0, 0, 9), (9, 0, 0, 0), (2, 2, 2, 3)]


def make_experts(dtype: torch.dtype = torch.float32) -> Experts:
    experts = Experts(4, 16, 8)
    torch.nn.init.normal_(experts.w13, std=0.3)
    torch.nn.init.normal_(experts.w2, std=0.3)
    return experts.to(dtype)


# ------------------------------------------------------------------ experts


@pytest.mark.parametrize("counts", COUNTS, ids=str)
def test_grouped_matmul_equals_the_loop_over_experts(counts: tuple[int, ...]) -> None:
    experts, counts_E = make_experts(), torch.tensor(counts)
    x = torch.randn(9, 16, requires_grad=True)
    upstream = torch.randn(9, 16)
    results = []
    for run in (experts.forward, experts.looped):
        out = run(x, counts_E)
        results.append((out, *torch.autograd.grad(out, (x, experts.w13, experts.w2), upstream)))
    for grouped, looped in zip(*results, strict=True):
        torch.testing.assert_close(grouped, looped, rtol=1e-4, atol=1e-5)


def test_an_expert_without_rows_has_a_gradient_of_zeros() -> None:
    experts = make_experts()
    experts(torch.randn(9, 16), torch.tensor([3, 0, 5, 1])).square().sum().backward()
    assert experts.w13.grad is not None
    assert [bool(gradient.any()) for gradient in experts.w13.grad] == [True, False, True, True]


def test_fp64_takes_the_loop() -> None:
    experts = make_experts(torch.float64)
    x, counts_E = torch.randn(9, 16, dtype=torch.float64), torch.tensor([3, 0, 5, 1])
    assert experts(x, counts_E).equal(experts.looped(x, counts_E))


def test_autocast_runs_the_experts_in_16_bits() -> None:
    experts, counts_E = make_experts(), torch.tensor([3, 0, 5, 1])
    x = torch.randn(9, 16)
    with torch.autocast("cpu", torch.bfloat16):
        out = experts(x, counts_E)
    assert out.dtype is torch.bfloat16, "as that of a linear layer"
    torch.testing.assert_close(out.float(), experts(x, counts_E), rtol=0.05, atol=0.02)


# ------------------------------------------------------------------ the whole layer


@pytest.mark.parametrize(
    "settings",
    [{}, {"top_k": 1}, {"top_k": 3, "score": "sigmoid"}, {"shared_width": 24}, {"experts": 1, "top_k": 1}],
    ids=str,
)
def test_equals_a_loop_over_positions(settings: dict[str, Any]) -> None:
    moe = make_moe(torch.float64, **settings)
    x = torch.randn(2, 7, 32, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn_like(x)
    results = []
    for out in (moe(x, all_text(x))[0], slow_moe(moe, x, all_text(x))):
        moe.zero_grad()
        x.grad = None
        out.backward(upstream)
        results.append({"out": out.detach(), "x": x.grad, **gradients(moe)})
    torch.testing.assert_close(results[0], results[1])


def test_all_experts_chosen_is_a_dense_mix() -> None:
    moe = make_moe(top_k=4)
    x = torch.randn(1, 5, 32)
    weights_NE = (x[0] @ moe.router.weight.T).softmax(-1)
    outs_END = torch.stack(
        [
            torch.stack([swiglu(row, w13, w2) for row in x[0]])
            for w13, w2 in zip(moe.experts.w13, moe.experts.w2, strict=True)
        ]
    )
    expected = torch.einsum("ne,end->nd", weights_NE, outs_END)
    torch.testing.assert_close(moe(x, all_text(x))[0][0], expected, rtol=1e-4, atol=1e-5)


def test_dropless_a_position_does_not_depend_on_the_others() -> None:
    """Not even where the others crowd its experts: nothing has a capacity."""
    moe = make_moe(torch.float64)
    mine = torch.randn(1, 1, 32, dtype=torch.float64)
    crowd = mine + 0.01 * torch.randn(1, 200, 32, dtype=torch.float64)
    together = torch.cat([crowd, mine], dim=1)
    torch.testing.assert_close(
        moe(together, all_text(together))[0][:, -1:], moe(mine, all_text(mine))[0], rtol=1e-10, atol=1e-12
    )


# ------------------------------------------------------------------ router


def test_gates_sum_to_one_and_the_bias_does_not_touch_them() -> None:
    router = make_moe().router
    x = torch.randn(50, 32)
    text = all_text(x)
    router.bias.zero_()
    before = router(x, text)
    torch.testing.assert_close(before.gates_NT.sum(-1), torch.ones(50))
    router.bias.fill_(7.0)  # the same for all: no choice changes
    after = router(x, text)
    assert after.experts_NT.equal(before.experts_NT)
    assert after.gates_NT.equal(before.gates_NT)
    router.bias[2] = 100.0
    assert (router(x, text).experts_NT == 2).any(-1).all(), "a high bias draws every position"


def test_z_is_the_squared_log_sum_exp_of_the_logits() -> None:
    router = make_moe().router
    x = torch.randn(3, 32)
    expected = [((router.weight @ row).exp().sum().log() ** 2).item() for row in x]
    z_N = router(x, all_text(x)).z_N
    torch.testing.assert_close(z_N, torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_load_is_counted_where_there_is_no_padding_and_only_in_training() -> None:
    router = make_moe().router
    x = torch.randn(40, 32)
    modality = torch.tensor([0] * 10 + [1] * 10 + [2] * 5 + [PADDING] * 15, dtype=torch.uint8)
    chosen = router(x, modality).experts_NT
    assert router.load.tolist() == torch.bincount(chosen[:25].flatten(), minlength=4).tolist()
    router(x, modality)
    assert router.load.sum() == 2 * 25 * 2, "two batches of a step add up"
    router.eval()(x, modality)
    assert router.load.sum() == 2 * 25 * 2


def test_a_step_of_balance_moves_the_bias_by_the_rate_towards_even_load() -> None:
    router = Router(8, MoEConfig(experts=4, top_k=1, expert_width=8, balance_rate=0.1))
    router.load.copy_(torch.tensor([10.0, 0.0, 4.0, 2.0]))  # 4 on average
    router.balance()
    torch.testing.assert_close(router.bias, torch.tensor([-0.1, 0.1, 0.0, 0.1]))
    assert router.load.tolist() == [0, 0, 0, 0]


def test_balance_evens_out_a_skewed_load() -> None:
    router = make_moe(experts=8, top_k=1, balance_rate=0.01).router
    x = torch.randn(400, 32) + 0.5 * router.weight[0].detach()  # a common direction that expert 0 likes
    router.bias.zero_()
    history = []  # highest load over the mean
    for _ in range(60):
        router(x, all_text(x))
        history.append(float(router.load.max() / router.load.mean()))
        router.balance()
    assert history[0] > 3, history[0]
    assert history[-1] < 1.5, history[-1]
