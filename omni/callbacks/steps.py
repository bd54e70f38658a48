"""Callbacks that act behind optimizer steps."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import lightning

from omni.sequence import OmniBatch


class AfterSteps(lightning.Callback):
    """Calls ``step_ended`` behind the last batch of each optimizer step; those before it are accumulated."""

    @abstractmethod
    def step_ended(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: OmniBatch
    ) -> None:
        """``trainer.global_step`` counts the step already; ``batch`` is its last."""

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: OmniBatch,
        batch_idx: int,
    ) -> None:
        """Tell the last batches of steps from the others."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches == 0:
            self.step_ended(trainer, pl_module, batch)
