"""The sequence-level balance loss, by hand and against loops over documents."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from omni.nn.config import MoEConfig
from omni.nn.moe.sequence_balance import sequence_balance
from omni.sequence import PADDING
from tests.nn.moe_layer import GROUPS, OPEN, make_moe

DOCUMENTS = torch.tensor([0] * 7 + [1] * 4 + [2] * 9 + [3] * 5)
MODALITIES = torch.tensor(
    [0, 0, 1, 1, 1, 0, 0] + [2] * 4 + [0, 2, 2, 2, 0, 1, 0, 0, 2] + [PADDING] * 5, dtype=torch.uint8
)
"""A picture in a text, a clip, all three, and padding."""


def balance_of(scores: Tensor, mode: str = "agnostic", top_k: int = 2) -> Tensor:
    groups = MoEConfig(**(GROUPS[mode] | {"experts": scores.shape[1]})).expert_groups
    return sequence_balance(scores, DOCUMENTS[: len(scores)], MODALITIES[: len(scores)], groups, top_k)


def slow_balance(scores: Tensor, mode: str, top_k: int) -> Tensor:
    """Equations 17 to 20 for each sequence, times its length."""
    sequences: dict[tuple[int, ...], list[int]] = {}
    for t, (document, modality) in enumerate(zip(DOCUMENTS.tolist(), MODALITIES.tolist(), strict=True)):
        if modality != PADDING:
            key = (document,) if mode == "agnostic" else (document, modality)
            sequences.setdefault(key, []).append(t)
    total = scores.new_zeros(())
    for positions in sequences.values():
        experts = OPEN[mode][int(MODALITIES[positions[0]])]
        length = len(positions)
        for i in experts:
            best = [sorted(experts, key=lambda e: -scores[t, e].item())[:top_k] for t in positions]
            f = len(experts) / (top_k * length) * sum(i in chosen for chosen in best)
            p = sum((scores[t, i] / scores[t].sum() for t in positions), start=scores.new_zeros(())) / length
            total = total + length * f * p
    return total


def test_by_hand() -> None:
    """Two positions, two experts, one choice each: both take expert 0, with 0.9 and 0.7 of the scores."""
    scores = torch.tensor([[0.9, 0.1], [0.7, 0.3]])
    # f = 2 / (1 x 2) x (2, 0) = (2, 0), P = (0.8, 0.2): 1.6, for each of two positions
    torch.testing.assert_close(balance_of(scores, top_k=1), torch.tensor(3.2))


def test_one_for_each_position_at_balance_and_experts_over_choices_at_collapse() -> None:
    even = torch.eye(4).repeat(1, 1)  # four positions, each with an expert of its own
    torch.testing.assert_close(balance_of(even, top_k=1), torch.tensor(4.0))
    collapsed = torch.tensor([1.0, 0.0, 0.0, 0.0]).repeat(4, 1)
    torch.testing.assert_close(balance_of(collapsed, top_k=1), torch.tensor(16.0))


@pytest.mark.parametrize("score", ["softmax", "sigmoid"])
@pytest.mark.parametrize("mode", GROUPS)
def test_equals_a_loop_over_documents(mode: str, score: str) -> None:
    """With its gradient, from a router whose bias is not zero: the bias plays no part."""
    router = make_moe(torch.float64, **GROUPS[mode], score=score, balance_loss=1e-4).router
    x = torch.randn(len(DOCUMENTS), 32, dtype=torch.float64)
    scores = router(x, MODALITIES).scores_NE
    results = []
    for value in (
        sequence_balance(scores, DOCUMENTS, MODALITIES, router.groups, 2),
        slow_balance(scores, mode, 2),
    ):
        (gradient,) = torch.autograd.grad(value, router.weight, retain_graph=True)
        results.append((value.detach(), gradient))
    torch.testing.assert_close(results[0], results[1])
    assert results[0][1].any()


def test_its_gradient_evens_out_a_document() -> None:
    x, router = torch.randn(200, 32) + 0.5, make_moe(experts=8, balance_loss=0.1).router
    with torch.no_grad():
        router.weight[0] += 0.3  # expert 0 likes what all positions share
    document, text = torch.zeros(200, dtype=torch.long), torch.zeros(200, dtype=torch.uint8)
    optimizer = torch.optim.SGD([router.weight], lr=0.5)
    history = []
    for _ in range(60):
        scores = router(x, text).scores_NE
        value = sequence_balance(scores, document, text, router.groups, 2) / 200
        history.append(value.item())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    assert history[0] > 1.5, history[0]
    assert history[-1] < 1.05, history[-1]
