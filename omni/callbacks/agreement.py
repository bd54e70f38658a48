"""What ranks decide together: sums and maxima that all of them get alike, in one small all-reduce."""

from __future__ import annotations

from typing import TypeVar

import lightning
import torch
import torch.distributed as dist
from torch import Tensor

Told = TypeVar("Told")


def summed(trainer: lightning.Trainer, figures: Tensor) -> list[float]:
    """A vector added up over all ranks. (``strategy.reduce`` would wait at a barrier first.)"""
    if trainer.world_size > 1:
        dist.all_reduce(figures)
    return figures.tolist()


def highest(trainer: lightning.Trainer, figure: int) -> int:
    """The highest of the ranks' figures."""
    if trainer.world_size == 1:
        return figure
    figures = torch.tensor([figure], device=trainer.strategy.root_device)
    dist.all_reduce(figures, dist.ReduceOp.MAX)
    return int(figures.item())


def told_by_all(trainer: lightning.Trainer, told: Told) -> list[Told]:
    """What each rank has to tell, by rank; for what is rare, since it is pickled."""
    if trainer.world_size == 1:
        return [told]
    parts = [told] * trainer.world_size
    dist.all_gather_object(parts, told)
    return parts
