"""Callbacks that look at a run every few steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

import lightning

from omni.callbacks.steps import AfterSteps
from omni.sequence import OmniBatch


class Telemetry(AfterSteps):
    """Calls ``look`` behind each step whose number is a multiple of ``every_n_steps``."""

    def __init__(self, every_n_steps: int = 50) -> None:
        """
        Args:
            every_n_steps: steps between two looks; 0 for none.

        Raises:
            ValueError: it is negative.
        """
        if every_n_steps < 0:
            raise ValueError(f"every_n_steps must be 0 (never) or more, got {every_n_steps}")
        self.every_n_steps = every_n_steps

    @abstractmethod
    def look(self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: OmniBatch) -> None:
        """Log what there is to see; ``batch`` is the last one of the step."""

    def due(self, trainer: lightning.Trainer) -> bool:
        """Whether the step that is being worked on will be looked at. Ask before its optimizer step."""
        return self.every_n_steps > 0 and (trainer.global_step + 1) % self.every_n_steps == 0

    def step_ended(
        self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: OmniBatch
    ) -> None:
        """Look where it is time."""
        if self.every_n_steps and trainer.global_step % self.every_n_steps == 0:
            self.look(trainer, module, batch)


def log_once(trainer: lightning.Trainer, scalars: Mapping[str, float]) -> None:
    """Give scalars of the step that has just ended to every logger.

    ``module.log`` writes a value again at each later logging step, and takes time for each name at every step.
    """
    for logger in trainer.loggers:
        logger.log_metrics(dict(scalars), step=trainer.global_step - 1)
