"""Checkpoints while training goes on, and where it ends."""

from __future__ import annotations

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint


class Checkpoints(ModelCheckpoint):
    """Lightning's own, which saves at the last step, too.

    By itself it links ``last.ckpt`` to the newest *periodic* checkpoint, up to ``every_n_train_steps`` - 1 steps
    behind the end.
    """

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save, unless this step is saved already."""
        super().on_train_end(trainer, pl_module)
        if not self._should_skip_saving_checkpoint(trainer):
            candidates = self._monitor_candidates(trainer)
            self._save_topk_checkpoint(trainer, candidates)
            self._save_last_checkpoint(trainer, candidates)
