"""The spans of a document: what its positions and training targets are, and where it may be cut, in a few numbers.

``[user: "which?" and a picture of 2x2 patches] [assistant: "six"]``, of which the assistant's turn is learned, is::

    <|begin|> <|user|> which ?                             text, 4, not learned
    <|image|> <|size:2|> <|size:2|> P P P P <|/image|>     image, 8, not learned
    <|end|> <|assistant|>                                  text, 2, not learned
    six <|end|>                                            text, 2, learned

A span is kept as one number: ``length << 3 | learned << 2 | modality``.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq

import numpy as np
from jaxtyping import Bool, Int, UInt32

from omni.modality import AUDIO, IMAGE, MODALITIES, TEXT

_MARKERS = np.array([0, 4, 2])
"""Text positions in a span by its modality: a picture has an opening, two sizes and a closing."""
_LEARNED_MARKERS = np.array([0, 3, 1])
"""Those of them that are text targets: ``<|/image|>`` is none, and ``<|/audio|>`` is one of audio."""
LONGEST_SPAN = 1 << 29


class SpanList:
    """Spans in the making. Texts behind one another are one span where both are learned or both are not."""

    def __init__(self) -> None:
        self.packed: list[int] = []

    def add(self, modality: int, length: int, learned: bool) -> None:
        """Add a text, or a whole picture or clip with its markers."""
        if length >= LONGEST_SPAN:
            raise ValueError(f"{length} positions in one piece, expected less than {LONGEST_SPAN}")
        low = int(learned) << 2 | modality
        if modality == TEXT.id and self.packed and self.packed[-1] & 7 == low:
            self.packed[-1] += length << 3
        elif length:
            self.packed.append(length << 3 | low)

    def array(self) -> UInt32[np.ndarray, " spans"]:
        """The spans."""
        return np.array(self.packed, np.uint32)


def span_lengths(spans: UInt32[np.ndarray, " spans"]) -> Int[np.ndarray, " spans"]:
    """Positions of each span."""
    return (spans >> 3).astype(np.int64)


def count_spans(
    spans: UInt32[np.ndarray, " spans"],
) -> tuple[Int[np.ndarray, " M"], Int[np.ndarray, " M"]]:
    """Positions and training targets by modality. A document's first position is never learned, whatever it says."""
    modality, learned, lengths = (spans & 3).astype(np.int64), spans >> 2 & 1 == 1, span_lengths(spans)
    clip = modality != TEXT.id
    text, text_targets = _MARKERS[modality], _LEARNED_MARKERS[modality]
    own = lengths - text  # patches, frames, or tokens
    positions = _sums(modality, own) + _only_text(text)
    ends = learned & (modality == AUDIO.id)  # the audio head predicts the end of a clip
    targets = _sums(modality, own * learned + ends) + _only_text(text_targets * (learned & clip))
    return positions, targets


def piece_targets(spans: UInt32[np.ndarray, " spans"], start: int, stop: int) -> Int[np.ndarray, " M"]:
    """Training targets by modality of the positions ``start`` to ``stop``; none of a piece's first position."""
    ends = np.cumsum(span_lengths(spans))
    begins = ends - span_lengths(spans)
    inside = np.minimum(ends, stop) - np.maximum(begins, start)
    kept = inside > 0
    part = (inside[kept].astype(np.uint32) << 3) | (spans[kept] & 7)
    targets = count_spans(part)[1]
    targets[TEXT.id] -= int(part[0] >> 2 & 1)  # a token, or the marker that opens a picture or clip
    return targets


def whole(spans: UInt32[np.ndarray, " spans"]) -> Bool[np.ndarray, " spans"]:
    """Which spans are pictures or clips, which are never cut."""
    return spans & 3 != TEXT.id


def joined(
    spans: Seq[UInt32[np.ndarray, " _"]],
) -> tuple[UInt32[np.ndarray, " spans"], Int[np.ndarray, " ends"]]:
    """Spans of several documents one behind another, and where those of each begin; one end more than documents."""
    starts = np.cumsum([0, *map(len, spans)])
    return np.concatenate([np.zeros(0, np.uint32), *spans]), starts


def _sums(modality: Int[np.ndarray, " spans"], counts: Int[np.ndarray, " spans"]) -> Int[np.ndarray, " M"]:
    return np.bincount(modality, counts, len(MODALITIES)).astype(np.int64)


def _only_text(counts: Int[np.ndarray, " spans"]) -> Int[np.ndarray, " M"]:
    total = np.zeros(len(MODALITIES), np.int64)
    total[TEXT.id] = counts.sum()
    return total


assert (TEXT.id, IMAGE.id, AUDIO.id) == (0, 1, 2), "the marker tables are in this order"
