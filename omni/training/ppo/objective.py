"""The clipped objectives of PPO (arXiv 1707.06347) and what is watched of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class PolicyLoss:
    """Of a micro-batch of actions."""

    total: Float[Tensor, ""]
    """Summed over actions, and divided by the actions of the whole update; to be differentiated."""
    ratio_n: Float[Tensor, " n"]
    """Probability now over probability at the rollout; detached."""
    clipped_n: Float[Tensor, " n"]
    """1 where the clip holds the gradient back."""
    approx_kl: Float[Tensor, ""]
    """``mean(log ratio)^2 / 2``, TRL's estimate of how far the policy has moved in this update."""


def policy_loss(
    now_n: Float[Tensor, " n"],
    then_n: Float[Tensor, " n"],
    advantages_n: Float[Tensor, " n"],
    actions: int,
    clip: float = 0.2,
) -> PolicyLoss:
    """
    Args:
        now_n: log-probability of each action under the policy that learns.
        then_n: the same at the rollout.
        advantages_n: of each action.
        actions: of the whole update, over ranks and accumulated batches, so that neither moves the gradient.
        clip: how far the ratio may lead before it stops to count.
    """
    difference = now_n - then_n.detach()
    ratio = difference.exp()
    plain = -advantages_n * ratio
    held = -advantages_n * ratio.clamp(1 - clip, 1 + clip)
    total = torch.maximum(plain, held).sum() / max(1, actions)
    with torch.no_grad():
        moved = difference.square().mean() / 2 if len(difference) else difference.sum()
        return PolicyLoss(total, ratio.detach(), (held > plain).to(ratio.dtype), moved)


def value_loss(
    now_n: Float[Tensor, " n"],
    then_n: Float[Tensor, " n"],
    returns_n: Float[Tensor, " n"],
    actions: int,
    clip: float = 0.2,
) -> Float[Tensor, ""]:
    """Half the squared error of the values, the worse of plain and clipped to ``then_n`` within ``clip``."""
    near = then_n + (now_n - then_n).clamp(-clip, clip)
    errors = torch.maximum((now_n - returns_n).square(), (near - returns_n).square())
    return 0.5 * errors.sum() / max(1, actions)


def kl_rewards(
    policy_n: Float[Tensor, " n"], reference_n: Float[Tensor, " n"], coefficient: float
) -> Float[Tensor, " n"]:
    """The leash: what each action costs that the policy likes better than the reference does (in nats)."""
    return -coefficient * (policy_n - reference_n).detach()
