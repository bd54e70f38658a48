"""Reads text, up to case and white space: the judge of tasks that are answered in words."""

from __future__ import annotations

from collections.abc import Sequence

from omni.evaluation.judges.verdict import Verdict
from omni.evaluation.metrics.text import normalised
from omni.sequence import Text


class TextReader:
    """Says what a text says; it needs no fitting."""

    def judge(self, texts: Sequence[Text]) -> list[Verdict]:
        """The texts, normalised."""
        return [Verdict(normalised(text.text)) for text in texts]
