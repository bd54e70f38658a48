"""Router telemetry split by modality: how evenly each modality uses the experts."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from omni.callbacks.due import is_due
from omni.modality import MODALITIES
from omni.sequence import OmniBatch
from omni.training.pretrain import Pretrain


def expert_load(
    experts_NT: Int[Tensor, "N T"], modality_N: UInt8[Tensor, " N"], experts: int
) -> Float[Tensor, "M E"]:
    """Share of each modality's routed positions that each expert got; zeros for an absent modality."""
    load = torch.stack(
        [torch.bincount(experts_NT[modality_N == m.id].flatten(), minlength=experts) for m in MODALITIES]
    ).float()
    return load / load.sum(-1, keepdim=True).clamp(min=1)


class RouterTelemetry(lightning.Callback):
    """Logs, per modality, the highest load over the mean and the number of experts that got nothing."""

    def __init__(self, every_n_steps: int = 50) -> None:
        """
        Args:
            every_n_steps: steps between two looks; 0 for none.
        """
        self.every_n_steps = every_n_steps

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: OmniBatch,
        batch_idx: int,
    ) -> None:
        """Look at the latest batch."""
        assert isinstance(pl_module, Pretrain)
        if not is_due(trainer, batch_idx, self.every_n_steps) or not pl_module.chosen_experts:
            return
        experts = pl_module.model.config.moe.experts
        modality_N = batch.modality.flatten()
        loads = [expert_load(chosen, modality_N, experts) for chosen in pl_module.chosen_experts]
        for modality in MODALITIES:
            load_XE = torch.stack(loads)[:, modality.id]  # layers x experts
            if load_XE.sum() > 0:
                highest_X, unused_X = load_XE.max(-1).values, (load_XE == 0).sum(-1)
                pl_module.log(f"router/{modality.name}_max_over_mean", highest_X.mean() * experts)
                pl_module.log(f"router/{modality.name}_unused_experts", unused_X.float().mean())
