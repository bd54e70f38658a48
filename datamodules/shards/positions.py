"""What stands at every position of a document, in words, for people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from omni.layout import Layout
from omni.modality import AUDIO, IMAGE, MODALITIES
from omni.sequence import Document, Sequence


@dataclass(frozen=True)
class Position:
    """One position of a sequence."""

    modality: str
    target: bool
    """Whether the model is trained to predict it."""
    content: str
    """The piece of text, ``patch 1, 2`` (row, column), or ``frame 3: 17 4 9`` (its codes)."""
    marker: bool = False
    """Whether it is a control symbol."""


@dataclass(frozen=True)
class Positions:
    """A document as positions."""

    each: list[Position]
    counts: dict[str, int]
    """By modality."""
    targets: dict[str, int]
    """By modality; the end of a clip counts as audio."""

    def __len__(self) -> int:
        return len(self.each)


def positions_of(document: Document, layout: Layout) -> Positions:
    """Encode a document and say what became of it.

    Raises:
        ValueError: it can't be encoded.
    """
    sequence = layout.encode(document)
    counts: dict[str, int] = {m.name: int((sequence.modality == m.id).sum()) for m in MODALITIES}
    targets = dict(zip(counts, sequence.target_counts().tolist(), strict=True))
    return Positions(list(_positions(sequence, layout)), counts, targets)


def _positions(sequence: Sequence, layout: Layout) -> Iterator[Position]:
    text, patch_coords = layout.text, sequence.coords[sequence.modality == IMAGE.id]
    names = {modality.id: modality.name for modality in MODALITIES}
    patch = frame = frame_of_clip = 0
    previous = -1
    for at, modality in enumerate(sequence.modality.tolist()):
        marker = False
        if modality == IMAGE.id:
            time, row, column = patch_coords[patch].tolist()
            content = f"patch {row - time}, {column - time}"
            patch += 1
        elif modality == AUDIO.id:
            frame_of_clip = frame_of_clip + 1 if previous == AUDIO.id else 0
            content = f"frame {frame_of_clip}: " + " ".join(map(str, sequence.codes[frame].tolist()))
            frame += 1
        else:
            token = int(sequence.text_ids[at])
            marker = token in text.control_ids
            content = text.pieces.id_to_piece(token)
        yield Position(names[modality], bool(sequence.loss[at]) and at > 0, content, marker)
        previous = modality
