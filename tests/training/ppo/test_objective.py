"""Advantages and objectives against their definitions."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from omni.training.ppo.advantages import (
    generalised_advantages,
    group_advantages,
    normalised_by_modality,
    whitened,
)
from omni.training.ppo.objective import kl_rewards, policy_loss, value_loss


def by_definition(rewards: list[float], values: list[float], gamma: float, decay: float) -> list[float]:
    """Sums of discounted surprises, for one answer."""
    following = [*values[1:], 0.0]
    surprises = [r + gamma * v2 - v1 for r, v1, v2 in zip(rewards, values, following, strict=True)]
    return [
        sum((gamma * decay) ** k * surprise for k, surprise in enumerate(surprises[start:]))
        for start in range(len(rewards))
    ]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=4), st.integers(0, 100))
def test_advantages_are_sums_of_surprises_of_each_answer_alone(lengths: list[int], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    rewards, values = torch.randn(2, sum(lengths), generator=generator, dtype=torch.float64)
    found, returns = generalised_advantages(rewards, values, lengths, gamma=0.9, decay=0.8)
    start = 0
    for length in lengths:
        own = slice(start, start + length)
        wanted = by_definition(rewards[own].tolist(), values[own].tolist(), 0.9, 0.8)
        assert found[own].tolist() == pytest.approx(wanted)
        start += length
    assert returns.tolist() == pytest.approx((found + values).tolist())


def test_with_decay_one_an_advantage_is_the_return_minus_the_value() -> None:
    rewards, values = torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.2, 0.5, 0.9])
    found, returns = generalised_advantages(rewards, values, [3], gamma=1.0, decay=1.0)
    torch.testing.assert_close(found, 1 - values)
    torch.testing.assert_close(returns, torch.ones(3))


def test_whitening() -> None:
    values = torch.tensor([1.0, 2.0, 6.0])
    white = whitened(values)
    assert white.mean().item() == pytest.approx(0, abs=1e-6)
    assert white.var(correction=0).item() == pytest.approx(1, rel=1e-5)
    assert whitened(values, keep_mean=True).mean().item() == pytest.approx(3)
    assert whitened(values[:1]).tolist() == [1.0]


def test_a_group_is_its_own_baseline() -> None:
    scores, groups = torch.tensor([1.0, 0.0, 1.0, 1.0, 5.0]), torch.tensor([0, 0, 1, 1, 2])
    assert group_advantages(scores, groups).tolist() == pytest.approx([1, -1, 0, 0, 0], abs=1e-4)


def test_no_modality_outweighs_another() -> None:
    scores, modality = torch.tensor([0.0, 1.0, 0.0, 100.0, 7.0]), torch.tensor([0, 0, 1, 1, 2])
    assert normalised_by_modality(scores, modality).tolist() == pytest.approx([-1, 1, -1, 1, 0], abs=1e-4)


def test_before_the_first_update_the_policys_gradient_is_that_of_reinforce() -> None:
    now = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    advantages = torch.tensor([1.0, -1.0, 0.5])
    loss = policy_loss(now, now.detach(), advantages, actions=3)
    loss.total.backward()
    assert now.grad is not None
    torch.testing.assert_close(now.grad, -advantages / 3)
    assert loss.ratio_n.tolist() == [1, 1, 1]
    assert (loss.approx_kl, loss.clipped_n.sum()) == (0, 0)


def test_the_clip_stops_what_went_far_enough_and_nothing_else() -> None:
    then = torch.zeros(4)
    now = torch.tensor([0.5, 0.5, -0.5, -0.5], requires_grad=True)
    loss = policy_loss(now, then, torch.tensor([1.0, -1.0, 1.0, -1.0]), actions=4)
    loss.total.backward()
    assert now.grad is not None
    assert loss.clipped_n.tolist() == [1, 0, 0, 1]
    assert [bool(gradient) for gradient in now.grad] == [False, True, True, False]
    assert loss.approx_kl.item() == pytest.approx(0.125)


def test_micro_batches_add_up() -> None:
    now, then, advantages = torch.randn(3, 10, dtype=torch.float64)
    whole = policy_loss(now, then, advantages, 10).total
    parts = [policy_loss(now[s], then[s], advantages[s], 10).total for s in (slice(0, 3), slice(3, 10))]
    torch.testing.assert_close(whole, parts[0] + parts[1])
    values = value_loss(now, then, advantages, 10)
    halves = [value_loss(now[s], then[s], advantages[s], 10) for s in (slice(0, 3), slice(3, 10))]
    torch.testing.assert_close(values, halves[0] + halves[1])


def test_a_value_that_moved_too_far_counts_as_the_worse_of_both() -> None:
    now, then = torch.tensor([1.0]), torch.tensor([0.0])
    assert value_loss(now, then, torch.tensor([1.0]), 1).item() == pytest.approx(0.5 * 0.8**2)
    assert value_loss(now, then, torch.tensor([-1.0]), 1).item() == pytest.approx(0.5 * 2.0**2)


def test_the_leash_pulls_towards_the_reference() -> None:
    found = kl_rewards(torch.tensor([-1.0, -3.0]), torch.tensor([-2.0, -2.0]), 0.1)
    assert found.tolist() == pytest.approx([-0.1, 0.1])
