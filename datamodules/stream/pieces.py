"""What a row is made of: documents, or pieces of documents that are longer than a row.

A picture or a clip is never cut in two: a document is cut only where its ``Cuts`` allow it.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Bool, Int

from omni.modality import AUDIO, IMAGE
from omni.sequence import Sequence

TooLong = Literal["drop", "truncate", "split"]
"""What is done with a document that is longer than a row: left out, its beginning kept, or cut into pieces."""


class Piece(NamedTuple):
    """Positions ``start`` to ``stop`` (exclusive) of a document; a whole document for most."""

    source: int
    """Number of the source."""
    document: int
    """Number of the document in its source."""
    start: int
    stop: int


@runtime_checkable
class Cuts(Protocol):
    """Where the documents of a source may be cut; asked in the main process, for over-long documents only."""

    def allowed(self, document: int) -> Int[np.ndarray, " cuts"]:
        """Ascending positions between 0 and the document's length before which it may be cut."""
        ...

    def targets(self, document: int, start: int, stop: int) -> Int[np.ndarray, " M"]:
        """Training targets by modality of a piece, as ``cut(sequence, start, stop).target_counts()``."""
        ...


def cuts_outside(parts: Seq[int], whole: Seq[bool]) -> Int[np.ndarray, " cuts"]:
    """Allowed cuts of a document whose parts have these lengths: anywhere but inside parts that stay whole.

    A part that stays whole is a picture or clip together with its markers. Parts of 2, 3 (whole) and 2
    positions can be cut before positions 1, 2, 5 and 6.
    """
    inside: Bool[np.ndarray, " L"] = np.repeat(np.array(whole, dtype=bool), parts)
    opens = np.zeros(len(inside), dtype=bool)
    opens[np.cumsum([0, *parts[:-1]])] = True
    allowed = np.flatnonzero(opens | ~inside)
    return allowed[allowed > 0]


def pieces_of(
    length: int, allowed: Int[np.ndarray, " cuts"], capacity: int, policy: TooLong
) -> list[tuple[int, int]]:
    """(start, stop) of the pieces, each of at most ``capacity`` positions, that ``policy`` makes of a document.

    Each piece is as long as the cuts allow. What lies between two cuts and is longer than a row is left out.
    """
    ends = np.append(allowed, length)
    found: list[tuple[int, int]] = []
    start = 0
    while start < length:
        fitting = int(np.searchsorted(ends, start + capacity, side="right"))
        stop = int(ends[fitting - 1]) if fitting else 0
        if stop > start:
            found.append((start, stop))
        else:
            stop = int(ends[np.searchsorted(ends, start, side="right")])
        start = stop
    if policy == "split":
        return found
    return found[:1] if policy == "truncate" and found and found[0][0] == 0 else []


def cut(sequence: Sequence, start: int, stop: int) -> Sequence:
    """Positions ``start`` to ``stop`` of a sequence, with the patches and codes that belong to them."""
    if (start, stop) == (0, len(sequence)):
        return sequence
    part = slice(start, stop)

    def content(modality: int) -> slice:
        marked = sequence.modality == modality
        before = int(marked[:start].sum())
        return slice(before, before + int(marked[part].sum()))

    return Sequence(
        modality=sequence.modality[part],
        text_ids=sequence.text_ids[part],
        coords=sequence.coords[part],
        loss=sequence.loss[part],
        patches=sequence.patches[content(IMAGE.id)],
        codes=sequence.codes[content(AUDIO.id)],
        key=sequence.key,
    )
