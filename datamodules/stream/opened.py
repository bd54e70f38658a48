"""A folder of shards ready for a run: its documents as sequences, and what the plan needs to know of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from omni.datamodules.remote.remote_config import RemoteConfig
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.stream.lengths import Lengths, check_measured, indexed_lengths, measured_lengths
from omni.datamodules.stream.measure import measure
from omni.datamodules.stream.store import SequenceStore
from omni.layout import Layout


@dataclass(frozen=True, kw_only=True)
class Opening:
    """How the folders of a run are opened."""

    layout: Layout
    tokenizers: str
    """Folder of the layout's tokenizers, for messages."""
    row_length: int
    """Positions of a row."""
    measure: bool = False
    """Measure the documents now, whatever the indexes say."""
    max_damaged: float = 0.001
    """Share of the documents that may be damaged before it is an error."""
    cache: bool = False
    """Keep encoded documents in memory."""
    workers: int = 0
    """Processes that measure."""
    remote: RemoteConfig = RemoteConfig()  # noqa: RUF009 (frozen)
    """For folders at a URL."""


@dataclass(frozen=True, eq=False)
class OpenFolder:
    """The documents of a folder."""

    store: SequenceStore
    lengths: Lengths


def open_documents(folder: str, how: Opening) -> OpenFolder:
    """Open a folder of shards.

    Raises:
        DocumentError: no shards there, or an index is missing or stale.
        RemoteError: a URL that can't be read.
        ValueError: the documents were not measured by this layout, or too many are damaged; names the fix.
    """
    reader = ShardReader(folder, how.layout.tokenizers.audio.fingerprint, how.remote)
    store = SequenceStore(reader, how.layout, how.max_damaged, how.cache)
    fingerprint = how.layout.fingerprint
    if how.measure:
        spans = measure(reader, how.layout, how.workers, store.note)
        lengths = measured_lengths(reader, fingerprint, how.row_length, spans)
    else:
        check_measured(reader, fingerprint, how.tokenizers)
        lengths = indexed_lengths(reader, fingerprint, how.row_length)
        _check_damage(folder, lengths, how.max_damaged)
    return OpenFolder(store, lengths)


def _check_damage(folder: str, lengths: Lengths, most: float) -> None:
    documents = len(lengths.table.lengths)
    damaged = documents - int(np.count_nonzero(lengths.table.lengths))
    if damaged > most * documents:
        raise ValueError(
            f"{folder}: {damaged} of {documents} documents were damaged when they were indexed, more than the "
            f"allowed share of {most:g} (data.max_damaged); `omni shards check {folder}` lists them"
        )
