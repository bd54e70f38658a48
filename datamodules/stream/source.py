"""One source of documents in the shuffled order of each epoch, a chunk at a time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from omni.datamodules.stream.permutation import key_of, shuffled_runs
from omni.datamodules.stream.pieces import Cuts, TooLong, pieces_of
from omni.datamodules.stream.table import Census, Table

CHUNK = 2048
"""Places of an epoch's order that are computed together; a part of the meaning of a saved state."""
SINGLE = "shards"
"""Name of a source that was given as a folder alone. The order depends on it, so it is the same wherever the
shards lie."""


@dataclass(frozen=True, eq=False)
class Chunk:
    """Pieces in the order in which the source gives them."""

    pieces: Int[np.ndarray, "pieces 3"]
    """Document, start and stop."""
    lost: int
    """Positions of readable documents that are in no piece."""

    @property
    def lengths(self) -> Int[np.ndarray, " pieces"]:
        """Positions of each piece."""
        return self.pieces[:, 2] - self.pieces[:, 1]


class Source:
    """Documents of one table, endlessly, each epoch in another order. Keeps the latest chunks only."""

    def __init__(
        self,
        name: str,
        table: Table,
        *,
        capacity: int,
        too_long: TooLong,
        run: int,
        seed: int,
        cuts: Cuts | None = None,
    ) -> None:
        """
        Args:
            name: for messages, and a part of the key of its shuffle.
            table: lengths and targets of its documents.
            capacity: positions of a row.
            too_long: what is done with longer documents.
            run: neighbouring documents that stay together.
            seed: of the shuffle.
            cuts: where longer documents may be cut.

        Raises:
            ValueError: no document can be used, or ``cuts`` are missing.
        """
        self.name, self.table, self.cuts = name, table, cuts
        self.capacity, self.too_long, self.run, self.seed = capacity, too_long, run, seed
        self.census = Census.of(table, capacity, too_long)
        if not self.census.usable:
            readable = table.lengths[table.lengths > 0]
            why = f"the shortest has {readable.min()}" if len(readable) else "none could be read"
            raise ValueError(
                f"none of {len(table.lengths)} documents of {name} fits into a row of {capacity} positions "
                f"(data.plan.row_length); {why}"
            )
        if self.census.too_long and too_long != "drop" and cuts is None:
            raise ValueError(
                f"{name}: {self.census.too_long} documents are longer than a row, and where they may be cut is "
                f"not known; data.plan.too_long {too_long!r} needs Cuts for this source, or set it to 'drop'"
            )
        self._runs = -(-len(table.lengths) // run)
        self._runs_of_chunk = max(1, CHUNK // run)
        self.chunks = -(-self._runs // self._runs_of_chunk)
        """Chunks of an epoch."""
        self._kept: dict[tuple[int, int], Chunk] = {}

    def chunk(self, epoch: int, number: int) -> Chunk:
        """Chunk ``number`` of an epoch; it may be empty."""
        if (epoch, number) not in self._kept:
            while len(self._kept) >= 4:
                del self._kept[next(iter(self._kept))]
            self._kept[epoch, number] = self._make(epoch, number)
        return self._kept[epoch, number]

    def targets(self, pieces: Int[np.ndarray, "pieces 3"]) -> Int[np.ndarray, "pieces M"]:
        """Training targets by modality of each piece."""
        documents = pieces[:, 0]
        targets = self.table.targets[documents].astype(np.int64)
        partial = (pieces[:, 1] > 0) | (pieces[:, 2] < self.table.lengths[documents])
        for at in np.flatnonzero(partial).tolist():
            assert self.cuts is not None, f"{self.name}: a piece without cuts"
            document, start, stop = pieces[at].tolist()
            targets[at] = self.cuts.targets(document, start, stop)
        return targets

    def _make(self, epoch: int, number: int) -> Chunk:
        start = number * self._runs_of_chunk
        stop = min(start + self._runs_of_chunk, self._runs)
        key = key_of(self.seed, self.name, epoch)
        documents = shuffled_runs(start, stop, len(self.table.lengths), self.run, key)
        lengths = self.table.lengths[documents].astype(np.int64)
        fits = (lengths > 0) & (lengths <= self.capacity)
        pieces = np.stack([documents, np.zeros_like(lengths), lengths], axis=1)
        if self.too_long == "drop" or (fits | (lengths == 0)).all():
            return Chunk(pieces[fits], int(lengths[~fits].sum()))
        parts = [
            pieces[at : at + 1] if fits[at] else self._pieces(int(documents[at]), int(lengths[at]))
            for at in np.flatnonzero(lengths)
        ]
        kept = np.concatenate(parts)
        return Chunk(kept, int(lengths.sum() - (kept[:, 2] - kept[:, 1]).sum()))

    def _pieces(self, document: int, length: int) -> Int[np.ndarray, "pieces 3"]:
        assert self.cuts is not None, f"{self.name}[{document}]: too long, and no cuts"
        spans = pieces_of(length, self.cuts.allowed(document), self.capacity, self.too_long)
        return np.array([(document, *span) for span in spans], dtype=np.int64).reshape(-1, 3)
