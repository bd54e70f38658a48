"""Positions per second, over all ranks, padding not counted."""

from __future__ import annotations

import time
from typing import Any

import lightning

from omni.callbacks.due import is_due
from omni.sequence import OmniBatch


class Throughput(lightning.Callback):
    """Logs ``throughput/positions_per_second`` between two looks."""

    def __init__(self, every_n_steps: int = 50) -> None:
        """
        Args:
            every_n_steps: steps between two looks; 0 for none.
        """
        self.every_n_steps = every_n_steps
        self.since = 0.0
        self.positions = 0

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: OmniBatch,
        batch_idx: int,
    ) -> None:
        """Count the step that the batch ends, and log where it is time."""
        if is_due(trainer, batch_idx, every_n_steps=1):
            self.positions += batch.step_positions
        if is_due(trainer, batch_idx, self.every_n_steps):
            now = time.perf_counter()
            if self.since:
                pl_module.log("throughput/positions_per_second", self.positions / (now - self.since))
            self.since, self.positions = now, 0
