"""Checkpoints while training goes on, and where it ends; a run may be killed at any moment, and go on elsewhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import ModelCheckpoint

from omni.callbacks.progress import count_anew


class Checkpoints(ModelCheckpoint):
    """Lightning's own, which saves at the last step, too, and always has a whole ``last.ckpt``.

    By itself it links ``last.ckpt`` to the newest *periodic* checkpoint, up to ``every_n_train_steps`` - 1 steps
    behind the end; and it removes the checkpoint that the link names before it links the new one.
    """

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Save, unless this step is saved already."""
        super().on_train_end(trainer, pl_module)
        if not self._should_skip_saving_checkpoint(trainer):
            candidates = self._monitor_candidates(trainer)
            self._save_topk_checkpoint(trainer, candidates)
            self._save_last_checkpoint(trainer, candidates)

    def on_load_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Go on at the same step, however many batches a step has now.

        Raises:
            ValueError: the checkpoint was saved while a batch was worked on.
        """
        count_anew(checkpoint, trainer.accumulate_grad_batches)

    def _remove_checkpoint(self, trainer: lightning.Trainer, filepath: str) -> None:
        if self.save_last == "link":
            last = self.last_model_path or self.format_checkpoint_name({}, self.CHECKPOINT_NAME_LAST)
            self._link_checkpoint(trainer, self._last_checkpoint_saved, last)
        super()._remove_checkpoint(trainer, filepath)

    @staticmethod
    def _link_checkpoint(trainer: lightning.Trainer, filepath: str, linkpath: str) -> None:
        """Replace the link in one go."""
        if trainer.is_global_zero and Path(filepath).absolute() != Path(linkpath).absolute():
            aside = Path(f"{linkpath}.new")
            aside.unlink(missing_ok=True)
            aside.symlink_to(os.path.relpath(filepath, aside.parent))
            aside.replace(linkpath)
        trainer.strategy.barrier()
