"""What an evaluation found: one record per example, and the figures over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from omni.evaluation.judges.verdict import Verdict
from omni.evaluation.metrics.intervals import Interval
from omni.evaluation.tasks import JudgeName
from omni.sequence import Image, Segment, Text


@dataclass(frozen=True, eq=False)
class Example:
    """One document of a task: what was asked, what came back, and what the judges said."""

    key: str
    source: str
    prompt: tuple[Segment, ...]
    reference: tuple[Segment, ...]
    """The document's own answer."""
    label: str | None
    """What a judge should read, see or hear."""
    answer: Segment | None
    """The model's answer in the wanted modality; ``None`` if it gave none."""
    verdicts: Mapping[JudgeName, Verdict]
    """What each judge made of the answer."""
    right: Mapping[JudgeName, bool]
    """Whether that is what was wanted; without judges that can't know the label."""
    correct: bool | None
    """What the task's first judge says; ``None`` if it couldn't be asked."""

    @property
    def reference_text(self) -> str:
        """The reference as a line of text, with placeholders for pictures and clips."""
        return as_text(self.reference)

    @property
    def answer_text(self) -> str:
        """The answer as a line of text; empty if there is none."""
        return as_text([self.answer]) if self.answer is not None else ""


@dataclass(frozen=True, eq=False)
class EvaluationResult:
    """Everything that was measured."""

    metrics: Mapping[str, float]
    """Flat; shares are 0 to 1."""
    intervals: Mapping[str, Interval]
    """95 % intervals of those metrics that are shares of examples."""
    counts: Mapping[str, int]
    """Examples (of perplexities: tokens) behind each metric."""
    examples: tuple[Example, ...]

    def of(self, source: str) -> tuple[Example, ...]:
        """The examples of one source, in the order of the documents."""
        return tuple(example for example in self.examples if example.source == source)


def as_text(segments: Sequence[Segment]) -> str:
    """The segments as a line of text, such as ``<8x8 picture> which digit?``."""
    parts = [part for segment in segments if (part := _as_text(segment))]
    return " ".join(parts)


def _as_text(segment: Segment) -> str:
    if isinstance(segment, Text):
        return segment.text.strip()
    if isinstance(segment, Image):
        height, width, _ = segment.pixels.shape
        return f"<{width}x{height} picture>"
    return f"<{segment.seconds:.2f} s of sound>"
