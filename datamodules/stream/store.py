"""The documents of a folder of shards as sequences, measured once and kept in memory where they fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.format import DocumentError
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.stream.table import Table
from omni.layout import Layout
from omni.modality import MODALITIES
from omni.sequence import Sequence

PARALLEL_FROM = 2_000
"""Documents from which on it pays to encode in several processes."""


class _Encoded(Dataset[Sequence | DocumentError]):
    """Sequence of each document, or what is wrong with it."""

    def __init__(self, reader: ShardReader, layout: Layout) -> None:
        self.reader, self.layout = reader, layout

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, number: int) -> Sequence | DocumentError:
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # a codec's tensors are small: more threads only wait for each other
        try:
            return self.layout.encode(self.reader[number])
        except ValueError as error:
            return error if isinstance(error, DocumentError) else DocumentError(str(error))
        finally:
            torch.set_num_threads(threads)


class SequenceStore:
    """Sequences by document number, and the table of their lengths and targets."""

    def __init__(
        self, folder: Path | str, layout: Layout, cache: bool, max_damaged: float, workers: int = 0
    ) -> None:
        """Reads every document once.

        Args:
            folder: shards with their indexes.
            layout: turns documents into sequences.
            cache: keep the sequences; otherwise a document is read and encoded each time it is asked for.
            max_damaged: share of damaged documents that are set aside before it is an error.
            workers: processes that encode.
        """
        self.reader = ShardReader(folder, layout.tokenizers.audio.fingerprint)
        self.layout = layout
        self.kept: dict[int, Sequence] | None = {} if cache else None
        self.table = self._measure(Quarantine(Path(folder), max_damaged), workers)

    def __getitem__(self, number: int) -> Sequence:
        """Sequence of document ``number``."""
        if self.kept is not None:
            return self.kept[number]
        return self.layout.encode(self.reader[number])

    def _measure(self, quarantine: Quarantine, workers: int) -> Table:
        count = len(self.reader)
        lengths = np.zeros(count, dtype=np.int64)
        targets = np.zeros((count, len(MODALITIES)), dtype=np.int64)
        encoded = DataLoader(
            _Encoded(self.reader, self.layout),
            batch_size=64,
            collate_fn=list,
            num_workers=workers if count >= PARALLEL_FROM else 0,
            generator=torch.Generator(),  # or it would draw a number from the global one
        )
        chunks = track(encoded, description=f"Encoding {self.reader.folder}", transient=True)
        for number, sequence in enumerate(sequence for chunk in chunks for sequence in chunk):
            if isinstance(sequence, DocumentError):
                quarantine.add(*self.reader.place(number), sequence)
                continue
            lengths[number] = len(sequence)
            targets[number] = sequence.target_counts()
            if self.kept is not None:
                self.kept[number] = sequence
        quarantine.close(count)
        return Table(lengths, targets)
