"""A callback for runs of the real ``omni fit``: says what was trained on, and can kill its own process."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import lightning

from omni.sequence import OmniBatch


class Recorder(lightning.Callback):
    """Writes a line for each batch, and for each validation, to ``{path}-{rank}.jsonl``."""

    def __init__(self, path: str, kill_after: int | None = None, kill_rank: int = 0) -> None:
        """
        Args:
            path: where to write, without rank and ending.
            kill_after: number of the batch after which the process gets a SIGKILL; none by default.
            kill_rank: whose process does.
        """
        self.path, self.kill_after, self.kill_rank = path, kill_after, kill_rank

    def _write(self, trainer: lightning.Trainer, **line: Any) -> None:
        with Path(f"{self.path}-{trainer.global_rank}.jsonl").open("a") as file:
            file.write(json.dumps(line) + "\n")

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: OmniBatch,
        batch_idx: int,
    ) -> None:
        """Write the batch; the loss is the step's share of it, whatever the number of ranks."""
        self._write(
            trainer,
            batch=batch_idx,
            rows=batch.row_numbers,
            keys=batch.keys,
            loss=outputs["loss"].item() / trainer.world_size,
        )
        if batch_idx == self.kill_after and trainer.global_rank == self.kill_rank:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Write at which step it was, and what came out."""
        losses = {name: value.item() for name, value in trainer.callback_metrics.items() if "val/" in name}
        self._write(trainer, validated=trainer.global_step, losses=losses)
