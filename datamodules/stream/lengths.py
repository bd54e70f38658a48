"""What the plan needs to know of the documents of a folder, from its indexes or measured now.

The indexes are read as arrays, a block of documents at a time, and copied into one table: 10 bytes a document for
rows of up to 65,535 positions. No document is looked at by itself, and nothing but the table stays in memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, UInt32

from omni.datamodules.shards.dataset import data_fingerprint
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.stream.pieces import Cuts, cuts_outside
from omni.datamodules.stream.table import BLOCK, Table
from omni.modality import MODALITIES
from omni.spans import count_spans, joined, piece_targets, span_lengths, whole

MOST_16 = np.iinfo(np.uint16).max


@dataclass(frozen=True, eq=False)
class Lengths:
    """The documents of a folder: how long they are, and where they may be cut."""

    table: Table
    cuts: Cuts


class SpanCuts:
    """``Cuts`` of documents whose spans are known: anywhere but inside a picture or clip."""

    def __init__(self, spans: Callable[[int], UInt32[np.ndarray, " spans"]]) -> None:
        """``spans`` gives those of a document by its number."""
        self.spans = spans

    def allowed(self, document: int) -> Int[np.ndarray, " cuts"]:
        """Ascending positions before which the document may be cut."""
        spans = self.spans(document)
        return cuts_outside(span_lengths(spans).tolist(), whole(spans).tolist())

    def targets(self, document: int, start: int, stop: int) -> Int[np.ndarray, " M"]:
        """Training targets by modality of a piece."""
        return piece_targets(self.spans(document), start, stop)


def check_measured(reader: ShardReader, layout: str, tokenizers: str) -> None:
    """Check that all documents of a folder were measured by the layout with this fingerprint.

    Raises:
        ValueError: some were not; the message names the command that does it for these ``tokenizers``.
    """
    other = [index for index in reader.indexes if index.layout != layout]
    if not other:
        return
    found = "are not measured" if other[0].layout is None else "were measured with other tokenizers"
    raise ValueError(
        f"{reader.folder}: the documents of {len(other)} of {len(reader.indexes)} shards {found}; first: "
        f"{other[0].shard.name}. Run `omni shards index {reader.folder} --tokenizers {tokenizers}`, or set "
        f"data.measure to true to measure them at each start"
    )


def indexed_lengths(reader: ShardReader, layout: str, row_length: int) -> Lengths:
    """Lengths of the documents of a folder whose indexes have them (see ``check_measured``)."""
    table = _Table(len(reader), row_length)
    for first, index in zip(reader.starts, reader.indexes, strict=False):
        for start in range(0, len(index), BLOCK):
            stop = min(start + BLOCK, len(index))
            positions, targets = index.read_lengths(start, stop)
            table.put(slice(first + start, first + stop), positions.sum(1), targets)

    def spans(document: int) -> UInt32[np.ndarray, " spans"]:
        index, row = reader.find(document)
        return index.spans(row)

    return Lengths(table.done(reader, layout), SpanCuts(spans))


def measured_lengths(
    reader: ShardReader, layout: str, row_length: int, found: list[UInt32[np.ndarray, " _"]]
) -> Lengths:
    """Lengths of documents of which the spans were found: by number, none for one that is damaged."""
    table = _Table(len(reader), row_length)
    for number, spans in enumerate(found):
        positions, targets = count_spans(spans)
        table.put(slice(number, number + 1), positions.sum(keepdims=True), targets[None])
    spans_of_all, starts = joined(found)
    cuts = SpanCuts(lambda document: spans_of_all[starts[document] : starts[document + 1]])
    return Lengths(table.done(reader, layout), cuts)


class _Table:
    """A table in the making."""

    def __init__(self, documents: int, row_length: int) -> None:
        self.lengths = np.empty(documents, np.int32)
        # those of documents longer than a row are never looked at
        kind = np.uint16 if row_length <= MOST_16 else np.int32
        self.targets = np.empty((documents, len(MODALITIES)), kind)

    def put(self, part: slice, lengths: np.ndarray, targets: np.ndarray) -> None:
        self.lengths[part] = lengths
        self.targets[part] = np.minimum(targets, MOST_16) if self.targets.dtype == np.uint16 else targets

    def done(self, reader: ShardReader, layout: str) -> Table:
        """The lengths follow from the content and the layout, but for what could not be read."""
        digest = hashlib.blake2b(f"{data_fingerprint(reader.indexes)} {layout}".encode(), digest_size=8)
        digest.update(np.flatnonzero(self.lengths == 0).tobytes())
        return Table(self.lengths, self.targets, digest.hexdigest())
