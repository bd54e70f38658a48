"""Callbacks that look at a run every few steps."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import lightning

from omni.sequence import OmniBatch


class Telemetry(lightning.Callback):
    """Calls ``look`` behind the last batch of each step whose number is a multiple of ``every_n_steps``."""

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

    def step_ended(self, batch: OmniBatch) -> None:
        """Called behind the last batch of every step, before ``look``."""

    def due(self, trainer: lightning.Trainer) -> bool:
        """Whether the step that is being worked on will be looked at. Ask before its optimizer step."""
        return self.every_n_steps > 0 and (trainer.global_step + 1) % self.every_n_steps == 0

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: OmniBatch,
        batch_idx: int,
    ) -> None:
        """Look where it is time; the other batches of a step are accumulated."""
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        self.step_ended(batch)
        if self.every_n_steps and trainer.global_step % self.every_n_steps == 0:
            self.look(trainer, pl_module, batch)


def log_once(trainer: lightning.Trainer, scalars: Mapping[str, float]) -> None:
    """Give scalars of the step that has just ended to every logger.

    ``module.log`` writes a value again at each later logging step, and takes time for each name at every step.
    """
    for logger in trainer.loggers:
        logger.log_metrics(dict(scalars), step=trainer.global_step - 1)
