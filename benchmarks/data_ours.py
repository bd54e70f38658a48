"""Our stream in ``benchmarks.data``: the plan, the loader and the reader that ``omni fit`` uses.

In place of sequences of positions it delivers decoded documents, as the others do: nothing is tokenised.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import Dataset

from benchmarks.data_made import RATE, SIDE, Batch
from omni.datamodules.shards.crc import crc32
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.stream.batches import Fetched, Share
from omni.datamodules.stream.loader import PlannedLoader, Split, WorkerKind
from omni.datamodules.stream.plan import Plan
from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.table import Table
from omni.datamodules.stream.threads import AHEAD
from omni.sequence import Audio, Image, Text

ROW_LENGTH = 8192
POSITIONS = (240, 280)
"""Of a document, drawn evenly: 196 patches, 25 audio frames, markers and a text. 31 documents a row."""
MOST = ROW_LENGTH // POSITIONS[0]
"""Documents of a row."""


class Unnoted:
    """What becomes of the documents, which nobody wants to know: none is damaged or far away here."""

    ahead = damaged = 0

    def note(self, number: int, error: DocumentError | None) -> None:
        """Nothing to note."""

    def prefetch(self, numbers: Int[np.ndarray, " documents"]) -> None:
        """Nothing to prefetch."""


class DecodedBatches(Dataset[Fetched[Batch]]):
    """Fetches the documents of a share; pictures are decoded to their places in the batch.

    Threads fill buffers that are made once: a batch holds until the next one is asked for.
    """

    def __init__(self, folder: Path, buffers: int = 0) -> None:
        """``buffers``: number of those that are made once; with 0 each batch has memory of its own."""
        self.stores, self.reader = [Unnoted()], ShardReader(folder)
        self.buffers = [_room(MOST) for _ in range(buffers)]

    def __getitem__(self, share: Share) -> Fetched[Batch]:
        """The batch that ``share`` describes."""
        pieces = list(share.pieces())
        room = self.buffers[share.numbers[0] % len(self.buffers)] if self.buffers else _room(len(pieces))
        pixels, waveforms = (tensor[: len(pieces)] for tensor in room)
        texts = []
        for piece, slot, waveform in zip(pieces, pixels.numpy(), waveforms.numpy(), strict=True):
            document = self.reader.read(piece.document, partial(_given, slot))
            image, audio, text = document.segments
            assert isinstance(image, Image) and isinstance(audio, Audio) and isinstance(text, Text)
            if not np.may_share_memory(image.pixels, slot):  # not decoded by simplejpeg
                slot[...] = image.pixels
            waveform[...] = audio.waveform
            texts.append(text.text)
        return Fetched(Batch(pixels, waveforms, texts), {})


def _given(slot: np.ndarray, height: int, width: int) -> np.ndarray:
    return slot


def _room(documents: int) -> tuple[Tensor, Tensor]:
    """Memory for the pixels and waveforms of a batch."""
    return torch.empty((documents, SIDE, SIDE, 3), dtype=torch.uint8), torch.empty((documents, RATE))


class Ours:
    """Our stream over the documents of a folder."""

    def __init__(self, folder: Path, workers: int, kind: WorkerKind) -> None:
        self.folder, self.workers, self.kind = folder, workers, kind

    @cached_property
    def plan(self) -> Plan:
        """Once through all documents."""
        count = len(ShardReader(self.folder))
        lengths = np.random.default_rng(1).integers(*POSITIONS, count)
        table = Table(lengths, np.stack([lengths // 8, lengths // 2, lengths // 8], axis=1), "made up")
        config = PlanConfig(row_length=ROW_LENGTH, global_rows=1)
        return Plan({"made up": table}, config, once=True)

    def loader(self, workers: int | None = None) -> PlannedLoader[Batch]:
        """The loader, opened anew."""
        workers = self.workers if workers is None else workers
        # those under way, the one that the caller has, and the one that it asks for
        buffers = workers * AHEAD + 2 if self.kind == "thread" else 0
        batches = DecodedBatches(self.folder, buffers)
        return PlannedLoader(self.plan, batches, Split(batch_rows=1), self.plan.length(), workers, self.kind)

    def __call__(self) -> Iterator[Batch]:
        """The batches of one pass."""
        return iter(self.loader())


def index_and_crc(folder: Path) -> dict[str, float]:
    """Microseconds of CPU a document to look it up in the index, and to take the crc of its members."""
    reader = ShardReader(folder)
    order = np.random.default_rng(2).permutation(len(reader)).tolist()
    start = time.process_time()
    for number in order:
        index, row = reader.find(number)
        index.key(row)
        index.parts(row)
    index_time = time.process_time() - start
    contents = [content for number in order for content in reader.members(number).values()]
    start = time.process_time()
    for content in contents:
        crc32(content)
    crc_time = time.process_time() - start
    return {"index_us": index_time / len(order) * 1e6, "crc_us": crc_time / len(order) * 1e6}
