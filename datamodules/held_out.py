"""What a run is evaluated on while it trains: the first documents of held-out shards, and exams."""

from __future__ import annotations

from omni.choice import Choice
from omni.datamodules.collate import collate
from omni.datamodules.importers.choices import read_choices
from omni.datamodules.remote.remote_config import RemoteConfig
from omni.datamodules.shards.reader import ShardReader
from omni.sequence import Document, OmniBatch, Sequence


class HeldOut:
    """Reads the share of one rank; each document is in one share."""

    def __init__(self, remote: RemoteConfig, rank: int = 0, world: int = 1) -> None:
        """
        Args:
            remote: for shards at a URL.
            rank: whose share is read.
            world: number of ranks.
        """
        self.remote, self.rank, self.world = remote, rank, world

    def documents(self, folder: str, codec: str, limit: int | None, start: int = 0) -> dict[int, Document]:
        """Every ``world``-th of the first ``limit`` documents, by their number, counted from ``start``.

        Raises:
            DocumentError: no shards there, or a damaged document.
        """
        reader = ShardReader(folder, codec, self.remote)
        count = len(reader) if limit is None else min(limit, len(reader))
        return {start + number: reader[number] for number in range(self.rank, count, self.world)}

    def choices(self, file: str, limit: int | None, start: int = 0) -> dict[int, Choice]:
        """The same of a file of questions with options.

        Raises:
            ValueError: a bad file; the message names it.
        """
        numbered = enumerate(read_choices(file)[:limit])
        return {start + number: choice for number, choice in numbered if number % self.world == self.rank}

    def collate(self, rows: list[list[Sequence]]) -> OmniBatch:
        """The batch of these sequences."""
        return collate(rows)
