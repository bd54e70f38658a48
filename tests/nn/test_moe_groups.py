"""Groups of experts: who may use which, against a loop over positions, and balance inside each group."""

from __future__ import annotations

import pytest
import torch

from omni.nn.config import MoEConfig
from omni.nn.moe.groups import open_counts, open_table
from omni.nn.moe.router import Router
from omni.sequence import PADDING
from tests.nn.moe_layer import GROUPS, OPEN, all_text, make_moe, mixed, slow_moe
from tests.tiny_model import gradients

# fmt: off
TABLES = {
    "agnostic": [[1, 1, 1, 1, 1, 1, 1, 1],   # text
                 [1, 1, 1, 1, 1, 1, 1, 1],   # image
                 [1, 1, 1, 1, 1, 1, 1, 1],   # audio
                 [1, 1, 1, 1, 1, 1, 1, 1]],  # padding
    "grouped":  [[1, 1, 1, 1, 0, 0, 0, 0],
                 [0, 0, 0, 0, 1, 1, 0, 0],
                 [0, 0, 0, 0, 0, 0, 1, 1],
                 [1, 1, 1, 1, 1, 1, 1, 1]],
    "hybrid":   [[1, 1, 1, 1, 1, 0, 0, 0],
                 [1, 1, 0, 0, 0, 1, 0, 0],
                 [1, 1, 0, 0, 0, 0, 1, 1],
                 [1, 1, 1, 1, 1, 1, 1, 1]],
}
# fmt: on


@pytest.mark.parametrize("mode", GROUPS)
def test_who_may_use_which_experts(mode: str) -> None:
    groups = MoEConfig(**GROUPS[mode]).expert_groups
    assert open_table(groups).int().tolist() == TABLES[mode]
    assert open_counts(groups) == [len(experts) for experts in OPEN[mode]]
    assert sum(group.size for group in groups) == 8


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
@pytest.mark.parametrize("mode", ["grouped", "hybrid"])
def test_equals_a_loop_over_positions(mode: str, score: str) -> None:
    """Values and gradients are those of a router that has the open experts alone."""
    moe = make_moe(torch.float64, **GROUPS[mode], score=score)
    x = torch.randn(2, 9, 32, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn_like(x)
    results = []
    for out in (moe(x, mixed(x))[0], slow_moe(moe, x, mixed(x), mode)):
        moe.zero_grad()
        x.grad = None
        out.backward(upstream)
        results.append({"out": out.detach(), "x": x.grad, **gradients(moe)})
    torch.testing.assert_close(results[0], results[1])


@pytest.mark.parametrize("mode", ["grouped", "hybrid"])
def test_no_bias_opens_a_closed_expert(mode: str) -> None:
    router = make_moe(**GROUPS[mode]).router
    x = torch.randn(300, 32)
    router.bias[[0, 4, 5, 6]] = 1e6
    routing = router(x, mixed(x))
    torch.testing.assert_close(routing.gates_NT.sum(-1), torch.ones(300))
    for modality, experts in enumerate(OPEN[mode]):
        assert set(routing.experts_NT[mixed(x) == modality].flatten().tolist()) <= set(experts)
    hidden = torch.full((5,), PADDING, dtype=torch.uint8)
    assert router(x[:5], hidden).gates_NT.isfinite().all(), "padding may use all"


def test_text_alone_leaves_the_other_groups_without_rows_and_with_gradients_of_zeros() -> None:
    moe = make_moe(**GROUPS["grouped"])
    x = torch.randn(1, 40, 32)
    moe(x, all_text(x))[0].square().sum().backward()
    assert moe.router.load[4:].tolist() == [0, 0, 0, 0]
    assert moe.experts.w13.grad is not None and moe.router.weight.grad is not None
    assert moe.experts.w13.grad[:4].flatten(1).any(1).all()
    assert not moe.experts.w13.grad[4:].any()
    assert not moe.router.weight.grad[4:].any()


def test_z_is_that_of_the_open_experts() -> None:
    router = make_moe(**GROUPS["hybrid"]).router
    x = torch.randn(6, 32)
    expected = [
        (router.weight[OPEN["hybrid"][modality]] @ row).logsumexp(0).item() ** 2
        for row, modality in zip(x, mixed(x).tolist(), strict=True)
    ]
    torch.testing.assert_close(router(x, mixed(x)).z_N, torch.tensor(expected), rtol=1e-4, atol=1e-5)


# ------------------------------------------------------------------ balance


def router_of(mode: str, rate: float) -> Router:
    router = Router(32, MoEConfig(expert_width=8, top_k=1, balance_rate=rate, **GROUPS[mode]))
    torch.nn.init.normal_(router.weight, std=0.3)
    return router


@pytest.mark.parametrize(
    ("mode", "lacking"),
    [
        #            10  0  4  2   6   2   5  5
        ("agnostic", [-1, 1, 1, 1, -1, 1, -1, -1]),  # mean of all: 4.25
        ("grouped", [-1, 1, 0, 1, -1, 1, 0, 0]),  # means: 4, 4, 5
        ("hybrid", [-1, 1, 0, 1, -1, 0, 0, 0]),  # means: 5 of the shared, 4, 2, 5
    ],
)
def test_a_step_of_balance_goes_towards_the_mean_of_the_group(mode: str, lacking: list[int]) -> None:
    router = router_of(mode, 0.1)
    router.load.copy_(torch.tensor([10.0, 0.0, 4.0, 2.0, 6.0, 2.0, 5.0, 5.0]))
    router.balance()
    torch.testing.assert_close(router.bias, 0.1 * torch.tensor(lacking, dtype=torch.float32))
    assert not router.load.any()


def test_groups_are_balanced_inside_whatever_share_they_get() -> None:
    """Nine of ten positions are text. Their experts get nine times the load, evenly, and no bias runs away."""
    router = router_of("grouped", 0.01)
    modality = torch.tensor([0] * 900 + [1] * 50 + [2] * 50, dtype=torch.uint8)
    liked = router.weight[[0, 4, 6]].detach()
    x = torch.randn(1000, 32) + liked[modality.long()]  # each group has an expert that its positions like
    history = []
    for _ in range(80):
        router(x, modality)
        history.append([(part.max() / part.mean()).item() for part in router.load.split([4, 2, 2])])
        assert router.load.split([4, 2, 2])[0].sum() == 900
        router.balance()
    assert max(history[0]) > 1.9, history[0]
    assert max(history[-1]) < 1.3, history[-1]
    assert router.bias.abs().max() < 0.7, "a bias that chased the mean of all experts would be at 0.8"
