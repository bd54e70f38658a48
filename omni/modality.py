"""The table of modalities: the one place that says what text, image and audio differ in.

Code elsewhere asks this table (or a modality's own tokenizer, embedding or head) instead of comparing names.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Literal

ModalityName = Literal["text", "image", "audio"]


@dataclass(frozen=True)
class Modality:
    """One row of the table: how a modality is numbered, stored and announced in a sequence."""

    id: int
    """Value in the ``modality`` field of sequences and batches."""
    name: ModalityName
    opening: str | None
    """Control symbol that opens a clip of this modality; text needs none."""
    closing: str | None
    """Control symbol that closes it."""
    media_suffix: str | None
    """Suffix of the lossless media file that a shard keeps for it."""
    answer_suffix: str | None
    """Suffix of the file that an answer is written to; text is printed."""


TEXT = Modality(0, "text", None, None, None, None)
IMAGE = Modality(1, "image", "<|image|>", "<|/image|>", "png", "png")
AUDIO = Modality(2, "audio", "<|audio|>", "<|/audio|>", "flac", "wav")

MODALITIES: tuple[Modality, ...] = (TEXT, IMAGE, AUDIO)


def modality_named(name: str, where: str = "") -> Modality:
    """The row called ``name``.

    Raises:
        ValueError: no such modality; the message lists the names and the nearest one, and says ``where``.
    """
    for modality in MODALITIES:
        if modality.name == name:
            return modality
    names = [m.name for m in MODALITIES]
    near = difflib.get_close_matches(str(name), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    place = f"{where}: " if where else ""
    raise ValueError(f"{place}unknown modality {name!r}, expected one of {names}{hint}")
