"""Router telemetry split by modality: how evenly each modality uses the experts."""

from __future__ import annotations

import lightning
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from omni.callbacks.telemetry import Telemetry
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


class RouterTelemetry(Telemetry):
    """Logs, per modality, the highest load over the mean and the number of experts that got nothing."""

    def look(self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: OmniBatch) -> None:
        """Look at the latest batch."""
        assert isinstance(module, Pretrain)
        if not module.chosen_experts:
            return
        experts = module.model.config.moe.experts
        modality_N = batch.modality.flatten()
        loads = [expert_load(chosen, modality_N, experts) for chosen in module.chosen_experts]
        for modality in MODALITIES:
            load_XE = torch.stack(loads)[:, modality.id]  # layers x experts
            if load_XE.sum() > 0:
                highest_X, unused_X = load_XE.max(-1).values, (load_XE == 0).sum(-1)
                module.log(f"router/{modality.name}_max_over_mean", highest_X.mean() * experts)
                module.log(f"router/{modality.name}_unused_experts", unused_X.float().mean())
