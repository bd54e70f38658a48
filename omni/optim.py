"""Optimizer and learning-rate schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """AdamW with warm-up and decay."""

    lr: float = 3e-4
    """Peak learning rate."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay rates of the moments."""
    weight_decay: float = 0.1
    """Decoupled weight decay of matrices; norms, biases and embeddings have none."""
    warmup_steps: int = 100
    """Steps of linear warm-up."""
    schedule: Literal["cosine", "wsd", "constant"] = "cosine"
    """After warm-up: cosine to ``final_share``; or constant, then linear over ``decay_share`` (WSD)."""
    final_share: float = 0.1
    """Learning rate at the end, as a share of the peak."""
    decay_share: float = 0.2
    """Share of the steps that WSD decays over."""

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"model.optim.lr must be positive, got {self.lr}")
        if self.warmup_steps < 0:
            raise ValueError(f"model.optim.warmup_steps must not be negative, got {self.warmup_steps}")
        if self.weight_decay < 0:
            raise ValueError(f"model.optim.weight_decay must not be negative, got {self.weight_decay}")
        if not 0 <= self.final_share <= 1:
            raise ValueError(f"model.optim.final_share must be in [0, 1], got {self.final_share}")
        if not 0 < self.decay_share <= 1:
            raise ValueError(f"model.optim.decay_share must be in (0, 1], got {self.decay_share}")

    def lr_share(self, step: int, total: int) -> float:
        """Learning rate of ``step`` (from 0) of ``total``, as a share of the peak."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        done = min(1.0, (step - self.warmup_steps) / max(1, total - self.warmup_steps))
        if self.schedule == "cosine":
            return self.final_share + (1 - self.final_share) * 0.5 * (1 + math.cos(math.pi * done))
        if self.schedule == "wsd":
            decay = max(0.0, (done - (1 - self.decay_share)) / self.decay_share)
            return 1 - (1 - self.final_share) * decay
        return 1.0


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices with decay; vectors (norms, biases) and embedding tables without."""
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    decayed: list[nn.Parameter] = []
    plain: list[nn.Parameter] = []
    for parameter in model.parameters():
        (plain if parameter.ndim < 2 or id(parameter) in tables else decayed).append(parameter)
    return [
        {"params": decayed, "weight_decay": weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]


def build_optimizer(
    model: nn.Module, config: OptimConfig, total_steps: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """Fused AdamW and its schedule over ``total_steps``."""
    optimizer = torch.optim.AdamW(
        parameter_groups(model, config.weight_decay), lr=config.lr, betas=config.betas, fused=True
    )
    # A fused optimizer would unscale gradients itself, after clipping, so Lightning refuses to clip under mixed
    # precision. Without this mark they are unscaled before, as for any other optimizer.
    optimizer._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: config.lr_share(step, total_steps))
    return optimizer, schedule
