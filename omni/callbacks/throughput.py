"""Positions per second, over all ranks, padding not counted."""

from __future__ import annotations

import time

import lightning

from omni.callbacks.telemetry import Telemetry
from omni.sequence import OmniBatch


class Throughput(Telemetry):
    """Logs ``throughput/positions_per_second`` between two looks."""

    def __init__(self, every_n_steps: int = 50) -> None:
        """
        Args:
            every_n_steps: steps between two looks; 0 for none.
        """
        super().__init__(every_n_steps)
        self.since = 0.0
        self.positions = 0

    def step_ended(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: OmniBatch
    ) -> None:
        """Count the step."""
        self.positions += batch.step_positions
        super().step_ended(trainer, module, batch)

    def look(self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: OmniBatch) -> None:
        """Log the rate since the last look."""
        now = time.perf_counter()
        if self.since:
            module.log("throughput/positions_per_second", self.positions / (now - self.since))
        self.since, self.positions = now, 0
