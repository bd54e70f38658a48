"""Means per target: added up over batches and ranks, without what nobody has."""

from __future__ import annotations

import torch
from torch import Tensor

from omni.losses import Losses
from omni.training.means import Means


def losses(sums: list[float], counts: list[int]) -> Losses:
    """Of a batch; what is not asked for is zero."""
    zero = torch.zeros(())
    return Losses(zero, torch.tensor(sums), torch.tensor(counts), zero, zero)


def test_a_rank_without_a_modality_takes_part_and_logs_what_the_others_have() -> None:
    mine, theirs = Means(torch.device("cpu")), Means(torch.device("cpu"))
    mine.add(losses([6.0, 0.0, 0.0], [2, 0, 0]))
    theirs.add(losses([2.0, 9.0, 0.0], [2, 3, 0]))
    other = theirs.sums.clone()
    assert mine.sums.shape == other.shape  # one vector, whatever the batches hold
    (means,) = mine.take(lambda sums: sums + other)
    assert {name: mean.item() for name, mean in means.items()} == {"text": 2.0, "image": 3.0}


def test_kinds_are_kept_apart_and_begin_anew() -> None:
    def alone(sums: Tensor) -> Tensor:
        return sums

    means = Means(torch.device("cpu"), kinds=2)
    means.add(losses([1.0, 0.0, 4.0], [1, 0, 2]), 1)
    means.add(losses([3.0, 0.0, 0.0], [1, 0, 0]), 1)
    assert means.take(alone) == [{}, {"text": torch.tensor(2.0), "audio": torch.tensor(2.0)}]
    assert means.take(alone) == [{}, {}]
