"""The documents of a folder of shards as sequences, kept in memory where they fit."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from jaxtyping import Integer
from torch.utils.data import Dataset

from omni.datamodules.quarantine import RunningQuarantine
from omni.datamodules.remote.errors import is_transient
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.stream.measure import in_order
from omni.layout import Layout
from omni.sequence import PADDING, Document, Sequence

PAUSES = (0.1, 0.5)
"""Seconds before a document is read again after an error that may pass."""


class SequenceStore:
    """Sequences by document number. Workers get all of it but what the main process alone needs."""

    def __init__(
        self, reader: ShardReader, layout: Layout, max_damaged: float = 0.001, cache: bool = False
    ) -> None:
        """
        Args:
            reader: shards with their indexes.
            layout: turns documents into sequences.
            max_damaged: share of the documents that may be damaged before it is an error.
            cache: keep the sequences; otherwise a document is read and encoded each time it is asked for.
        """
        self.reader, self.layout = reader, layout
        self.fingerprint = layout.fingerprint
        self.kept: dict[int, Sequence] | None = {} if cache else None
        self.quarantine = RunningQuarantine(reader.folder, max_damaged, len(reader))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "quarantine"}

    # ------------------------------------------------------------------ in workers

    def __getitem__(self, number: int) -> Sequence:
        """Sequence of document ``number``.

        Raises:
            DocumentError: it is damaged, or not as long as its index says.
            RemoteError: its shard can't be had.
        """
        if self.kept is not None and number in self.kept:
            return self.kept[number]
        try:
            document = self._read(number)
            with _one_thread():
                sequence = self.layout.encode(document)
            self._check_length(number, sequence)
        except DocumentError:
            raise
        except ValueError as error:
            raise DocumentError(str(error)) from error
        if self.kept is not None:
            self.kept[number] = sequence
        return sequence

    def hole(self, length: int) -> Sequence:
        """What stands in the place of a damaged document: padding of the same length."""
        tokenizers = self.layout.tokenizers
        return Sequence(
            modality=np.full(length, PADDING, np.uint8),
            text_ids=np.zeros(length, np.int64),
            coords=np.zeros((length, 3), np.int64),
            loss=np.zeros(length, bool),
            patches=np.zeros((0, tokenizers.image.patch_values), np.float32),
            codes=np.zeros((0, tokenizers.audio.codebooks), np.int64),
            key="",
        )

    def _read(self, number: int) -> Document:
        for pause in PAUSES:
            try:
                return self.reader[number]
            except DocumentError as error:
                if error.__cause__ is None or not is_transient(error.__cause__):
                    raise
            time.sleep(pause)
        return self.reader[number]

    def _check_length(self, number: int, sequence: Sequence) -> None:
        index, row = self.reader.find(number)
        if index.layout != self.fingerprint:
            return  # measured at the start of the run
        expected = int(index.positions[row].sum())
        if len(sequence) != expected:
            shard, key = self.reader.place(number)
            raise DocumentError(f"{shard}[{key}]: {len(sequence)} positions, {expected} by the index")

    # ------------------------------------------------------------------ in the main process

    def note(self, number: int, error: DocumentError | None) -> None:
        """Note that a document was used, or set it aside for an error.

        Raises:
            ValueError: too many are damaged.
        """
        if error is None:
            self.quarantine.good()
        else:
            self.quarantine.add(*self._place(number), error)

    @property
    def damaged(self) -> int:
        """Documents that were set aside since the start of this run, by any of its processes."""
        return len(self.quarantine.lines)

    @property
    def ahead(self) -> int:
        """Steps of the plan whose documents ``prefetch`` wants to know."""
        return self.reader.ahead

    def prefetch(self, numbers: Integer[np.ndarray, " documents"]) -> None:
        """Fetch the shards of these documents ahead of their use, in this order."""
        self.reader.prefetch(numbers)

    def fill(self, workers: int) -> None:
        """Encode all documents now, in ``workers`` processes, and keep them, but for damaged ones."""
        assert self.kept is not None, f"{self.reader.folder}: no cache to fill"
        missing = [number for number in range(len(self.reader)) if number not in self.kept]
        tried = in_order(_Tried(self, missing), len(missing), workers, f"Encoding {self.reader.folder}")
        self.kept |= {
            number: one for number, one in zip(missing, tried, strict=True) if isinstance(one, Sequence)
        }

    def _place(self, number: int) -> tuple[str, str]:
        try:
            return self.reader.place(number)
        except DocumentError:  # its index is gone
            index, row = self.reader.find(number)
            return str(index.shard), f"document {row}"


class _Tried(Dataset[Sequence | DocumentError]):
    """Sequence of each document, or what is wrong with it."""

    def __init__(self, store: SequenceStore, numbers: list[int]) -> None:
        self.store, self.numbers = store, numbers

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, at: int) -> Sequence | DocumentError:
        try:
            return self.store[self.numbers[at]]
        except DocumentError as error:
            return error


@contextmanager
def _one_thread() -> Iterator[None]:
    """A codec's tensors are small: more threads only wait for each other, and would sum in another order."""
    threads = torch.get_num_threads()
    if threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
