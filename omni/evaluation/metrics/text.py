"""Figures for text: what counts as the same answer, perplexity, and the unigram model to beat."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int


def normalised(text: str) -> str:
    """The text in lower case, its white space as single spaces: equal for exact matches."""
    return " ".join(text.lower().split())


def perplexity(nats: float, tokens: int) -> float:
    """``exp(nats / tokens)``.

    Raises:
        ValueError: no tokens.
    """
    if tokens <= 0:
        raise ValueError(f"perplexity needs at least 1 token, got {tokens}")
    return math.exp(nats / tokens)


@dataclass(frozen=True, eq=False)
class ScoredText:
    """Tokens that a model was to predict, and what each cost it."""

    ids: Int[np.ndarray, " L"]
    nats: Float[np.ndarray, " L"]

    def __post_init__(self) -> None:
        if len(self.ids) != len(self.nats):
            raise ValueError(f"{len(self.ids)} token ids but {len(self.nats)} costs")

    @property
    def perplexity(self) -> float:
        """Per token."""
        return perplexity(float(self.nats.sum(dtype=np.float64)), len(self.ids))


class UnigramBaseline:
    """Predicts each token by its frequency in training text, whatever stands before it."""

    def __init__(self, training_ids: Iterable[Int[np.ndarray, " _"]], vocabulary: int) -> None:
        """Count the tokens of training texts; every token of the ``vocabulary`` is counted once more."""
        counts_V = np.ones(vocabulary, dtype=np.int64)
        for ids_L in training_ids:
            _check_range(ids_L, vocabulary)
            counts_V += np.bincount(ids_L, minlength=vocabulary)
        self._nats_V = np.log(counts_V.sum()) - np.log(counts_V)

    def score(self, ids_L: Int[np.ndarray, " L"]) -> ScoredText:
        """What each token costs."""
        _check_range(ids_L, len(self._nats_V))
        return ScoredText(ids_L, self._nats_V[ids_L])


def _check_range(ids_L: Int[np.ndarray, " L"], vocabulary: int) -> None:
    if len(ids_L) and (ids_L.min() < 0 or ids_L.max() >= vocabulary):
        raise ValueError(f"token ids from {ids_L.min()} to {ids_L.max()}, expected 0 to {vocabulary - 1}")
