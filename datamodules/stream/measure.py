"""Measures the documents of a folder at the start of a run, where its indexes don't have their lengths."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import UInt32
from rich.progress import track
from torch.utils.data import DataLoader, Dataset

from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.format import json_of, media_in
from omni.datamodules.shards.outline import outline_from
from omni.datamodules.shards.reader import ShardReader
from omni.layout import Layout

PARALLEL_FROM = 2_000
"""Documents from which on it pays to read in several processes."""


class _Measured(Dataset["UInt32[np.ndarray, ' _'] | DocumentError"]):
    """Spans of each document, or what is wrong with it. Nothing is decoded that its JSON or header says."""

    def __init__(self, reader: ShardReader, layout: Layout) -> None:
        self.reader, self.layout = reader, layout

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, number: int) -> UInt32[np.ndarray, " _"] | DocumentError:
        try:
            members = self.reader.members(number)
            shard, key = self.reader.place(number)
            where = f"{shard}[{key}]"
            head = json_of(key, members, where)
            codec = self.layout.tokenizers.audio.fingerprint
            outline = outline_from(head, f"{where}.", media_in(members), key=key, shard=shard, codec=codec)
            return self.layout.spans(outline)
        except ValueError as error:
            return error if isinstance(error, DocumentError) else DocumentError(str(error))


def in_order(dataset: Dataset, documents: int, workers: int, said: str) -> list:
    """All items of a dataset, made in ``workers`` processes where there are many, under a progress bar."""
    loader = DataLoader(
        dataset,
        batch_size=64,
        collate_fn=list,
        num_workers=workers if documents >= PARALLEL_FROM else 0,
        generator=torch.Generator(),  # or it would draw a number from the global one
    )
    return [item for chunk in track(loader, description=said, transient=True) for item in chunk]


def measure(
    reader: ShardReader, layout: Layout, workers: int, note: Callable[[int, DocumentError | None], None]
) -> list[UInt32[np.ndarray, " _"]]:
    """Spans of every document of a folder, none for one that is damaged.

    Args:
        reader: the folder.
        layout: what measures.
        workers: processes that read.
        note: called with each document's number and what is wrong with it, in order.
    """
    found: list[UInt32[np.ndarray, " _"]] = []
    items = in_order(_Measured(reader, layout), len(reader), workers, f"Measuring {reader.folder}")
    for number, item in enumerate(items):
        error = item if isinstance(item, DocumentError) else None
        note(number, error)
        found.append(np.zeros(0, np.uint32) if isinstance(item, DocumentError) else item)
    return found
