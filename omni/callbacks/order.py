"""The order of documents in the run's log, so that runs can be shown to have seen the same."""

from __future__ import annotations

import csv
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import lightning

COLUMNS = ("window", "count", "documents", "rows")


@runtime_checkable
class Ordered(Protocol):
    """A training loader that hashes its order."""

    def order(self) -> Any:
        """A dataclass with ``COLUMNS`` for fields, for the window that the next row belongs to; or none."""
        ...

    def window(self) -> int:
        """Number of that window."""
        ...


class OrderLog(lightning.Callback):
    """Appends a line to a CSV file for each window of documents that the run begins.

    A run that is resumed logs the window that it is in again. Windows are the same on all ranks; rank 0 writes.
    """

    def __init__(self, file: str) -> None:
        """
        Args:
            file: path of the CSV file.
        """
        self.file = Path(file)
        self._logged: int | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Log the window that the run begins in."""
        self._logged = None
        self._log(trainer)

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Log the next window where the run has come to one."""
        self._log(trainer)

    def _log(self, trainer: lightning.Trainer) -> None:
        loader = trainer.train_dataloader
        if not trainer.is_global_zero or not isinstance(loader, Ordered) or loader.window() == self._logged:
            return
        self._logged = loader.window()
        order = loader.order()
        if order is None:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        begun = self.file.is_file()
        with self.file.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if not begun:
                writer.writeheader()
            writer.writerow(asdict(order))
