"""From rewards to advantages: generalised advantage estimation, whitening, and the group baseline of GRPO.

Answers lie behind one another, as documents of a packed row do: ``lengths`` are the actions of each.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq

import torch
from jaxtyping import Float, Int
from torch import Tensor


def generalised_advantages(
    rewards_n: Float[Tensor, " n"],
    values_n: Float[Tensor, " n"],
    lengths: Seq[int],
    gamma: float = 1.0,
    decay: float = 0.95,
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Advantages and returns of each action (Schulman et al. 2016, arXiv 1506.02438, eq. 16).

    Nothing comes behind the last action of an answer: its next value is 0.

    Args:
        rewards_n: of each action; those of whole answers stand at their last actions.
        values_n: what the value head expected before each action.
        lengths: actions of each answer; sums to n.
        gamma: discount of later rewards.
        decay: lambda: how far advantages look ahead; 1 is the return minus the value.
    """
    advantages = torch.zeros_like(rewards_n)
    start = 0
    for length in lengths:
        following, later = rewards_n.new_zeros(()), rewards_n.new_zeros(())
        for at in range(start + length - 1, start - 1, -1):
            surprise = rewards_n[at] + gamma * later - values_n[at]
            following = surprise + gamma * decay * following
            advantages[at], later = following, values_n[at]
        start += length
    return advantages, advantages + values_n


def whitened(values_n: Float[Tensor, " n"], keep_mean: bool = False) -> Float[Tensor, " n"]:
    """The values with deviation 1, and mean 0 unless it is kept; one value alone has no deviation and stays."""
    if len(values_n) < 2:
        return values_n
    mean = values_n.mean()
    scaled = (values_n - mean) * (values_n.var(correction=0) + 1e-8).rsqrt()
    return scaled + mean if keep_mean else scaled


def group_advantages(scores_n: Float[Tensor, " n"], group_n: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
    """Score of each answer against those to the same prompt (GRPO, arXiv 2402.03300): minus mean, over deviation.

    A group whose answers all have one score teaches nothing: 0.
    """
    groups = int(group_n.max()) + 1 if len(group_n) else 0
    count = torch.bincount(group_n, minlength=groups).clamp(min=1).to(scores_n)
    mean = scores_n.new_zeros(groups).index_add(0, group_n, scores_n) / count
    off_n = scores_n - mean[group_n]
    variance = scores_n.new_zeros(groups).index_add(0, group_n, off_n.square()) / count
    return off_n / (variance.sqrt()[group_n] + 1e-6)


def normalised_by_modality(
    scores_n: Float[Tensor, " n"], modality_n: Int[Tensor, " n"]
) -> Float[Tensor, " n"]:
    """Scores of each modality with mean 0 and deviation 1 of their own, so that none outweighs another."""
    found = scores_n.clone()
    for modality in modality_n.unique().tolist():
        own = modality_n == modality
        found[own] = whitened(scores_n[own]) if int(own.sum()) > 1 else scores_n[own] - scores_n[own].mean()
    return found
