"""When a callback looks."""

from __future__ import annotations

import lightning


def is_due(trainer: lightning.Trainer, batch_idx: int, every_n_steps: int) -> bool:
    """Whether this batch has just ended an optimizer step whose number is a multiple of ``every_n_steps``."""
    stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
    return bool(every_n_steps) and stepped and trainer.global_step % every_n_steps == 0
