"""What a run has had of each source: documents, positions, epochs, and how many documents were damaged."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import lightning

from omni.callbacks.due import is_due
from omni.sequence import OmniBatch


@runtime_checkable
class Counted(Protocol):
    """A training loader that counts by source."""

    def counts(self) -> dict[str, dict[str, int | float]]:
        """Figures of each source, by their names."""
        ...


class SourceTelemetry(lightning.Callback):
    """Logs ``data/SOURCE/documents``, ``positions``, ``epochs`` and ``damaged``, counted over all ranks."""

    def __init__(self, every_n_steps: int = 50) -> None:
        """
        Args:
            every_n_steps: steps between two looks; 0 for none.
        """
        self.every_n_steps = every_n_steps

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: OmniBatch,
        batch_idx: int,
    ) -> None:
        """Log what the loader counted."""
        loader = trainer.train_dataloader
        if is_due(trainer, batch_idx, self.every_n_steps) and isinstance(loader, Counted):
            for source, counts in loader.counts().items():
                for name, count in counts.items():
                    pl_module.log(f"data/{source}/{name}", float(count))
