"""What a run has had of each source: documents, positions, epochs, and how many documents were damaged."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import lightning

from omni.callbacks.telemetry import Telemetry
from omni.sequence import OmniBatch


@runtime_checkable
class Counted(Protocol):
    """A training loader that counts by source."""

    def counts(self) -> dict[str, dict[str, int | float]]:
        """Figures of each source, by their names."""
        ...


class SourceTelemetry(Telemetry):
    """Logs ``data/SOURCE/documents``, ``positions``, ``epochs`` and ``damaged``, counted over all ranks."""

    def look(self, trainer: lightning.Trainer, module: lightning.LightningModule, batch: OmniBatch) -> None:
        """Log what the loader counted."""
        loader = trainer.train_dataloader
        if isinstance(loader, Counted):
            for source, counts in loader.counts().items():
                for name, count in counts.items():
                    module.log(f"data/{source}/{name}", float(count))
