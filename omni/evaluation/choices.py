"""Multiple choice by likelihood: the option that the model finds likeliest behind the question is its answer.

Options of text and sound are scored by their log-likelihood; the turn's end, or the clip's, is part of it. Pictures
have no likelihood here: they are scored by the flow's error with the same noise and times for all options, which
bounds it up to a weighting over time and tells classes apart (arXiv 2303.16203).

Most of what a clip or picture costs is its voice or hand, whatever was asked. So each option is scored without the
question, too, and the calibrated answer is the option that the question makes likelier by most (pointwise mutual
information: Brown et al. 2020, arXiv 2005.14165, 2.4; arXiv 2104.08315).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from omni.choice import Choice
from omni.evaluation.metrics.tally import Tally
from omni.evaluation.scorer import DocumentLoss, DocumentScorer


@dataclass(frozen=True, eq=False)
class Chosen:
    """A question with what the model says of its options."""

    choice: Choice
    sums: Float[np.ndarray, " options"]
    """Log-likelihood of each option (of pictures: minus the summed error)."""
    means: Float[np.ndarray, " options"]
    """The same per token, patch or frame: long options are not at a disadvantage."""
    unasked: Float[np.ndarray, " options"]
    """As ``sums``, without the question."""

    @property
    def likeliest(self) -> int:
        """Number of the option of the highest sum."""
        return int(self.sums.argmax())

    @property
    def normalised(self) -> int:
        """Number of the option of the highest mean."""
        return int(self.means.argmax())

    @property
    def calibrated(self) -> int:
        """Number of the option that gains most by the question."""
        return int((self.sums - self.unasked).argmax())


def choose_options(scorer: DocumentScorer, choices: list[Choice], chat: bool = True) -> list[Chosen]:
    """Score all options of all questions; ``chat`` as in ``Choice.documents``.

    Raises:
        ValueError: a question can't be encoded; the message names it.
    """
    asked = [document for choice in choices for document in choice.documents(chat)]
    unasked = [document for choice in choices for document in choice.unasked(chat)]
    scored = zip(scorer.losses(asked), scorer.losses(unasked), strict=True)
    return [_chosen(choice, [next(scored) for _ in choice.options]) for choice in choices]


def choice_tallies(chosen: Mapping[int, Chosen]) -> list[Tally]:
    """Shares of right answers: ``SOURCE_choice`` by the sum, ``SOURCE_choice_normalised`` by the mean,
    ``SOURCE_choice_calibrated`` by what the question adds; and ``SOURCE_choice_chance``, what guessing gets. The
    questions stand by their numbers."""
    by_source: dict[str, dict[int, Chosen]] = {}
    for number, one in chosen.items():
        by_source.setdefault(one.choice.source, {})[number] = one
    found = []
    for source, ones in by_source.items():
        by_sum = {number: (one.likeliest == one.choice.answer,) for number, one in ones.items()}
        by_mean = {number: (one.normalised == one.choice.answer,) for number, one in ones.items()}
        by_gain = {number: (one.calibrated == one.choice.answer,) for number, one in ones.items()}
        chance = {number: (1 / len(one.choice.options), 1) for number, one in ones.items()}
        found += [
            Tally.of(f"{source}_choice", "share", by_sum),
            Tally.of(f"{source}_choice_normalised", "share", by_mean),
            Tally.of(f"{source}_choice_calibrated", "share", by_gain),
            Tally.of(f"{source}_choice_chance", "mean", chance),
        ]
    return found


def _chosen(choice: Choice, losses: list[tuple[DocumentLoss, DocumentLoss]]) -> Chosen:
    kind = choice.modality.id
    sums, unasked = (-np.array([loss.sums_M[kind] for loss in ones]) for ones in zip(*losses, strict=True))
    counts = np.array([asked.counts_M[kind] for asked, _ in losses])
    return Chosen(choice, sums, sums / counts, unasked)
