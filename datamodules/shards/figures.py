"""Figures of a folder of shards, read off the indexes: what it holds, by source and modality, and how long it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from omni.datamodules.shards.dataset import data_fingerprint, documents_by_source, layout_of
from omni.datamodules.shards.fill import Fill, FillConfig, packed_fill
from omni.datamodules.shards.pool import Workers, run_over
from omni.datamodules.shards.shard_folder import open_folder
from omni.datamodules.shards.shard_index import open_index
from omni.modality import MODALITIES

LONGEST = 10
"""Documents that are named for their length."""
BINS = 32
"""Bin ``b`` of the histogram holds lengths from 2**(b - 1) to 2**b - 1; bin 0 those of 0 positions."""


@dataclass(frozen=True)
class Long:
    """One of the longest documents."""

    positions: int
    shard: str
    key: str
    source: str


@dataclass(frozen=True)
class Lengths:
    """Positions and targets of measured documents."""

    layout: str
    """Fingerprint of the layout that measured."""
    positions: dict[str, int]
    """By modality."""
    targets: dict[str, int]
    by_source: dict[str, dict[str, dict[str, int]]]
    """``positions`` and ``targets`` by modality of each source."""
    unmeasured: int
    """Documents of 0 positions: those that are no good."""
    histogram: dict[str, int]
    """Documents by range of positions, such as ``"64-127"``."""
    longest: list[Long]
    fill: Fill | None
    """What packing makes of them; ``None`` where no document fits into a row."""


@dataclass(frozen=True)
class Figures:
    """What a folder of shards holds."""

    shards: int
    documents: int
    parts: int
    tar_bytes: int
    content_bytes: int
    """Of the members, without the tar's headers and padding."""
    fingerprint: str
    by_source: dict[str, int]
    lengths: Lengths | None
    """``None`` where the shards are not measured, or not all by one layout."""

    def json(self) -> dict[str, Any]:
        """Everything, for JSON."""
        return asdict(self)


def shard_figures(
    folder: Path | str,
    config: FillConfig = FillConfig(),  # noqa: B008 (frozen)
    workers: Workers = 1,
    report: Callable[[], None] = lambda: None,
) -> Figures:
    """Figures of a folder.

    Args:
        folder: shards with their indexes; a path or URL. Of a URL only the indexes are fetched.
        config: rows and ranks that fill and balance are predicted for.
        workers: processes, or a cluster.
        report: called after each shard.

    Raises:
        DocumentError: no shards there, or an index is missing or stale.
        RemoteError: the URL can't be read.
    """
    indexes = open_folder(folder).indexes()
    layout = layout_of(indexes)
    total = _Totals()
    for found in run_over(
        partial(_totals, measured=layout is not None), [index.shard for index in indexes], workers
    ):
        total.add(found)
        report()
    fill = packed_fill(indexes, config) if layout is not None else None
    return Figures(
        shards=len(indexes),
        documents=sum(map(len, indexes)),
        parts=sum(index.head.parts for index in indexes),
        tar_bytes=sum(index.size for index in indexes),
        content_bytes=total.content_bytes,
        fingerprint=data_fingerprint(indexes),
        by_source=documents_by_source(indexes),
        lengths=None if layout is None else total.lengths(layout, fill),
    )


@dataclass
class _Totals:
    """Sums over the documents of a shard, or of several."""

    content_bytes: int = 0
    by_source: dict[str, np.ndarray] = field(default_factory=dict)
    bins: np.ndarray = field(default_factory=lambda: np.zeros(BINS, np.int64))
    longest: list[Long] = field(default_factory=list)

    def add(self, other: _Totals) -> None:
        """Count the documents of ``other``, too."""
        self.content_bytes += other.content_bytes
        for name, sums in other.by_source.items():
            self.by_source[name] = self.by_source.get(name, 0) + sums
        self.bins = self.bins + other.bins
        both = [*self.longest, *other.longest]
        self.longest = sorted(both, key=lambda long: -long.positions)[:LONGEST]

    def lengths(self, layout: str, fill: Fill | None) -> Lengths:
        """The sums as figures."""
        zero = np.zeros(2 * len(MODALITIES), np.int64)
        everything = _named(sum(self.by_source.values(), zero))
        return Lengths(
            layout=layout,
            positions=everything["positions"],
            targets=everything["targets"],
            by_source={name: _named(sums) for name, sums in sorted(self.by_source.items())},
            unmeasured=int(self.bins[0]),
            histogram=_ranges(self.bins),
            longest=self.longest,
            fill=fill,
        )


def _totals(shard: Path, measured: bool) -> _Totals:
    index = open_index(shard)  # read and compared with its shard before
    arrays = index.arrays
    total = _Totals(int(arrays.parts["size"].sum()))
    if not measured:
        return total
    source = arrays.documents["source"][:-1]
    columns = np.concatenate([index.positions, index.targets], axis=1)
    for number, name in enumerate(arrays.sources):
        total.by_source[name] = columns[source == number].sum(0, dtype=np.int64)
    lengths = index.positions.sum(1, dtype=np.int64)
    total.bins = np.bincount(np.frexp(lengths)[1], minlength=BINS)[:BINS]
    rows = np.argsort(-lengths, kind="stable")[:LONGEST].tolist()
    total.longest = [Long(int(lengths[row]), str(shard), index.key(row), index.source(row)) for row in rows]
    return total


def _named(sums: np.ndarray) -> dict[str, dict[str, int]]:
    names, half = [modality.name for modality in MODALITIES], len(MODALITIES)
    return {
        name: dict(zip(names, column.tolist(), strict=True))
        for name, column in (("positions", sums[:half]), ("targets", sums[half:]))
    }


def _ranges(bins: np.ndarray) -> dict[str, int]:
    """The bins from the first to the last that hold something, but for bin 0."""
    filled = np.flatnonzero(bins[1:]) + 1
    if not len(filled):
        return {}
    return {f"{1 << (b - 1)}-{(1 << b) - 1}": int(bins[b]) for b in range(filled[0], filled[-1] + 1)}
