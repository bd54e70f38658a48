"""From settings to an optimizer and its schedule."""

from __future__ import annotations

import torch
from torch import nn

from omni.optim.config import OptimConfig
from omni.optim.groups import parameter_groups
from omni.optim.joint import MuonAdamW
from omni.optim.muon import Muon

FUSED_DEVICES = ("cpu", "cuda", "mps", "xpu")
"""Where torch has AdamW in one kernel."""


def build_optimizer(
    model: nn.Module, config: OptimConfig, total_steps: int, width_ratio: float = 1.0
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """The optimizer and its schedule over ``total_steps``.

    Build it when the model is on its device. ``width_ratio`` is ``ModelConfig.width_ratio``.
    """
    muon_groups, adamw_groups = parameter_groups(model, config, width_ratio)
    fused = config.fused and all(p.device.type in FUSED_DEVICES for p in model.parameters())
    adamw = torch.optim.AdamW(adamw_groups, lr=config.lr, betas=config.betas, fused=fused, foreach=not fused)
    # A fused optimizer would unscale gradients itself, after clipping, so Lightning refuses to clip under mixed
    # precision. Without this mark they are unscaled before, as for any other optimizer.
    adamw._step_supports_amp_scaling = False  # type: ignore[attr-defined]
    optimizer: torch.optim.Optimizer = adamw
    if muon_groups:
        muon = config.muon
        optimizer = MuonAdamW(
            Muon(
                muon_groups,
                momentum=muon.momentum,
                steps=muon.steps,
                adjust=muon.adjust,
                precision=muon.precision,
            ),
            adamw,
        )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: config.lr_share(step, total_steps))
    return optimizer, schedule
