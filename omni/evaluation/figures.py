"""From marked examples and scored texts to named figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from omni.evaluation.metrics.diversity import PictureYardstick
from omni.evaluation.metrics.intervals import Interval, share_interval
from omni.evaluation.metrics.text import ScoredText, UnigramBaseline
from omni.evaluation.results import EvaluationResult, Example
from omni.evaluation.tasks import Reading, Task
from omni.sequence import Image


class Figures:
    """Gathers the figures of one task after another."""

    def __init__(self) -> None:
        self._metrics: dict[str, float] = {}
        self._intervals: dict[str, Interval] = {}
        self._counts: dict[str, int] = {}
        self._examples: list[Example] = []

    def add_answers(
        self, task: Task, examples: Sequence[Example], yardstick: PictureYardstick | None
    ) -> None:
        """Take in the marked answers of a task."""
        self._examples += examples
        for figure in task.figures:
            marks = [example.right[figure.judge] for example in examples if figure.judge in example.right]
            if marks:
                self._put(figure.name, sum(marks) / len(marks), len(marks))
                self._intervals[figure.name] = share_interval(sum(marks), len(marks))
        if task.diversity is not None and yardstick is not None:
            self._add_diversity(task.diversity, examples, yardstick)

    def add_reading(
        self, task: Reading, parts: Sequence[ScoredText], unigram: UnigramBaseline | None
    ) -> None:
        """Take in running text with its cost; the unigram model is scored on the same tokens."""
        ids_L = np.concatenate([part.ids for part in parts])
        scored = ScoredText(ids_L, np.concatenate([part.nats for part in parts]))
        self._put(task.figure, scored.perplexity, len(ids_L))
        if unigram is not None:
            self._put(task.baseline, unigram.score(ids_L).perplexity, len(ids_L))

    def result(self) -> EvaluationResult:
        """All that was taken in."""
        return EvaluationResult(self._metrics, self._intervals, self._counts, tuple(self._examples))

    def _add_diversity(self, name: str, examples: Sequence[Example], yardstick: PictureYardstick) -> None:
        """Diversity of the pictures that aren't judged wrong: drawing anything at all would look diverse."""
        asked = Counter(example.label for example in examples if example.label is not None)
        classes = sorted(word for word, count in asked.items() if word in yardstick.words and count >= 2)
        if classes:
            kept = [example for example in examples if example.correct is not False]
            shown = [(e.answer, e.label or "") for e in kept if isinstance(e.answer, Image)]
            words = [word for _, word in shown]
            diversity = yardstick.diversity([picture for picture, _ in shown], words, classes)
            self._put(f"{name}_diversity", diversity.mean, len(shown))
            self._put(f"{name}_diversity_worst", diversity.worst, len(shown))
        if pictures := [example.answer for example in examples if isinstance(example.answer, Image)]:
            near = yardstick.nearness(pictures)
            self._put(f"{name}_nearest", near.median, len(pictures))
            self._put(f"{name}_copies", near.copies, len(pictures))
        if yardstick.real_nearness is not None:
            self._put(f"{name}_nearest_real", yardstick.real_nearness.median, yardstick.heldout)
            self._put(f"{name}_copies_real", yardstick.real_nearness.copies, yardstick.heldout)

    def _put(self, name: str, value: float, count: int) -> None:
        self._metrics[name] = value
        self._counts[name] = count
