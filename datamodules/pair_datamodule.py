"""The LightningDataModule of preferences."""

from __future__ import annotations

from typing import Any

from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.stream.opened import OpenFolder, Opening, open_documents
from omni.datamodules.stream.pairs import CollatedPairs, paired


class PairDataModule(OmniDataModule):
    """Streams pairs of answers from shards as packed rows; settings are those of ``OmniDataModule``.

    A pair must fit into a row with both of its documents.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.plan_config.too_long != "drop":
            raise ValueError(
                f"data.plan.too_long is {self.plan_config.too_long!r}, but a pair can't be cut: set it to drop, and "
                f"data.plan.row_length to hold both documents"
            )

    def open_folder(self, folder: str, how: Opening) -> OpenFolder:
        """Open a folder of pairs."""
        return paired(open_documents(folder, how))

    def collated(self, row_length: int) -> CollatedPairs:
        """What lays out rows."""
        return CollatedPairs(row_length)
