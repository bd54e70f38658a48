"""A run that hangs says where, on every rank, and ends, so that its launcher can start it again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning

from omni.sequence import OmniBatch
from omni.training.watchdog import Watchdog

STACKS_FOLDER = "stacks"
"""In the run's folder: ``rank-000.txt`` and so on, only of ranks that hung."""


class HangWatchdog(lightning.Callback):
    """Ends each process that has begun and ended no batch for ``minutes``, with the stacks of its threads on disk.

    Ranks wait for each other, so all of them stop within one step of the one that hangs, and all write.
    """

    def __init__(self, minutes: float = 20.0, grace_seconds: float = 10.0) -> None:
        """
        Args:
            minutes: without progress; longer than the longest pause between two batches (a checkpoint, an
                evaluation, the first compiled step) and shorter than the process group's timeout of 30 minutes.
                0 for no watchdog.
            grace_seconds: between writing and leaving, so that all ranks have written before the launcher ends them.

        Raises:
            ValueError: a setting is out of range.
        """
        if minutes < 0 or grace_seconds <= 0:
            raise ValueError(
                f"watchdog.minutes must be 0 or more and watchdog.grace_seconds positive, "
                f"got {minutes} and {grace_seconds}"
            )
        self.minutes, self.grace_seconds = minutes, grace_seconds
        self._watchdog: Watchdog | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Begin to watch."""
        if self.minutes:
            folder = Path(trainer.default_root_dir) / STACKS_FOLDER
            path = folder / f"rank-{trainer.global_rank:03}.txt"
            self._watchdog = Watchdog(path, 60 * self.minutes, self.grace_seconds)
            self._watchdog.start()

    def _beat(self, trainer: lightning.Trainer, doing: str) -> None:
        if self._watchdog is not None:
            self._watchdog.beat(f"{doing} step {trainer.global_step + 1}")

    def on_train_batch_start(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        batch: OmniBatch,
        batch_idx: int,
    ) -> None:
        """There is a batch."""
        self._beat(trainer, "in a batch of")

    def on_train_batch_end(self, trainer: lightning.Trainer, *event: Any) -> None:
        """It is done."""
        self._beat(trainer, "before a batch of")

    def on_validation_batch_end(self, trainer: lightning.Trainer, *event: Any) -> None:
        """Validation goes on."""
        self._beat(trainer, "in validation before")

    def on_exception(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, exception: BaseException
    ) -> None:
        """Watch no more."""
        self._stop()

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        """Watch no more: the last checkpoint is written."""
        self._stop()

    def _stop(self) -> None:
        watchdog, self._watchdog = self._watchdog, None
        if watchdog is not None:
            watchdog.stop()
