"""Preferences: two answers to one prompt, of which one is better, as documents and as batches.

A preference is stored as two documents with one prompt, whose keys are ``KEY-chosen`` and ``KEY-rejected``. In a
batch they stand behind one another.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Int, Integer

from omni.modality import TEXT
from omni.sequence import OmniBatch

CHOSEN, REJECTED = "-chosen", "-rejected"
"""How the keys of the two documents end."""


@dataclass(frozen=True, eq=False)
class PairBatch(OmniBatch):
    """Rows of pairs. ``targets`` counts the pairs of the whole optimizer step by the modality of their answers."""

    answers: tuple[int, ...] = ()
    """Modality id of the answers of each pair, in order."""

    @property
    def pairs(self) -> list[tuple[int, int]]:
        """Chosen and rejected document of each pair, by their numbers in ``lengths``."""
        return [(n, n + 1) for n, key in enumerate(self.keys) if key.endswith(CHOSEN)]

    @property
    def pair_keys(self) -> list[str]:
        """Key of each pair."""
        return [key.removesuffix(CHOSEN) for key in self.keys if key.endswith(CHOSEN)]


def answer_modality(targets: Integer[np.ndarray, "*any M"]) -> Int[np.ndarray, "*any"]:
    """Modality id of answers by their targets: text where there is nothing else, else the medium with most targets.

    A picture or clip brings markers along that are text.
    """
    media = np.delete(targets, TEXT.id, axis=-1)
    ids = np.delete(np.arange(targets.shape[-1]), TEXT.id)
    return np.where(media.any(-1), ids[media.argmax(-1)], TEXT.id)
