"""Expert choice: which positions experts take, and that all of it hangs together."""

from __future__ import annotations

from math import ceil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from omni.nn.config import MoEConfig
from omni.nn.moe.expert_choice import capacities, choose_positions
from omni.nn.moe.groups import open_counts
from omni.nn.moe.layer import MoE
from omni.sequence import PADDING
from tests.nn.moe_layer import GROUPS, OPEN, make_moe, mixed, scores_of, swiglu
from tests.tiny_model import gradients


def test_each_expert_takes_the_positions_with_its_highest_scores() -> None:
    """Four positions and padding, two experts, one expert a position in the mean: two positions each."""
    scores = torch.tensor([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4], [0.99, 0.01]])
    modality = torch.tensor([0, 1, 2, 0, PADDING], dtype=torch.uint8)
    rows = choose_positions(scores, modality, MoEConfig(experts=2).expert_groups, top_k=1)
    assert rows.source_R.tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(rows.gates_R, torch.tensor([0.9, 0.8, 0.7, 0.4]))
    assert rows.counts_E.tolist() == [2, 2]


def test_experts_of_a_group_take_positions_of_its_modality() -> None:
    """Text has four experts for six positions, images two for three, audio two for one: its share is rounded up."""
    modality = torch.tensor([0, 0, 0, 0, 0, 0, 1, 1, 1, 2], dtype=torch.uint8)
    groups = MoEConfig(**GROUPS["grouped"]).expert_groups
    rows = choose_positions(torch.rand(10, 8), modality, groups, top_k=1)
    assert rows.counts_E.tolist() == [2, 2, 2, 2, 2, 2, 1, 1]
    assert modality[rows.source_R].tolist() == [0] * 8 + [1] * 4 + [2] * 2


def test_an_absent_modality_gives_its_experts_nothing() -> None:
    modality = torch.tensor([0, 0, 2, 2, PADDING], dtype=torch.uint8)
    groups = MoEConfig(**GROUPS["grouped"]).expert_groups
    rows = choose_positions(torch.rand(5, 8), modality, groups, top_k=2)
    assert rows.counts_E.tolist() == [1, 1, 1, 1, 0, 0, 2, 2]


@given(
    positions=st.lists(st.integers(0, 500), min_size=3, max_size=3),
    mode=st.sampled_from(list(GROUPS)),
    top_k=st.integers(1, 2),
)
def test_a_position_has_its_experts_in_the_mean(positions: list[int], mode: str, top_k: int) -> None:
    """Rounded up for each expert; and no expert takes more than there are."""
    groups = MoEConfig(**GROUPS[mode], top_k=top_k).expert_groups
    taken = capacities(positions, groups, top_k)
    rows = sum(group.size * count for group, count in zip(groups, taken, strict=True))
    assert top_k * sum(positions) <= rows < top_k * sum(positions) + 8
    for group, count in zip(groups, taken, strict=True):
        assert count <= sum(positions[m] for m in group.modalities)
    if mode == "agnostic":
        assert taken == [ceil(sum(positions) * top_k / 8)]
    assert open_counts(groups) == [len(experts) for experts in OPEN[mode]]


def slow_expert_choice(moe: MoE, x_SD: Tensor, modality: list[int], mode: str) -> Tensor:
    """Expert after expert: sort the positions that may use it by score, and add its result to the best."""
    config, out = moe.router.config, torch.zeros_like(x_SD)
    for e in range(config.experts):
        scores = {
            t: scores_of(moe, x, OPEN[mode][modality[t]])[OPEN[mode][modality[t]].index(e)]
            for t, x in enumerate(x_SD)
            if e in OPEN[mode][modality[t]]
        }
        shares = [config.top_k / len(OPEN[mode][modality[t]]) for t in scores]
        for t in sorted(scores, key=lambda t: -scores[t].item())[: ceil(sum(shares) - 1e-9)]:
            result = scores[t] * swiglu(x_SD[t], moe.experts.w13[e], moe.experts.w2[e])
            out = out.index_add(0, torch.tensor([t]), result[None])
    return out


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
@pytest.mark.parametrize("mode", GROUPS)
def test_equals_a_loop_over_experts(mode: str, score: str) -> None:
    moe = make_moe(torch.float64, **GROUPS[mode], score=score, choice="experts")
    x = torch.randn(1, 20, 32, dtype=torch.float64, requires_grad=True)
    upstream, modality = torch.randn_like(x), mixed(x)
    results = []
    for out in (
        moe(x, modality)[0],
        slow_expert_choice(moe, x[0], modality[0].tolist(), mode)[None],
    ):
        moe.zero_grad()
        x.grad = None
        out.backward(upstream)
        results.append({"out": out.detach(), "x": x.grad, **gradients(moe)})
    torch.testing.assert_close(results[0], results[1])


def test_nothing_is_counted_and_no_bias_moves() -> None:
    router = make_moe(choice="experts", balance_rate=0.1).router
    router.bias.zero_()
    x = torch.randn(50, 32)
    routing = router(x, mixed(x))
    assert routing.experts_NT.shape == (50, 0), "no position has chosen anything"
    assert routing.rows is not None
    router.balance()
    assert not router.bias.any()
