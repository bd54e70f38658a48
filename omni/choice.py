"""A question with options, one of which is right: how exams ask. Question and options are of any modality."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace

from omni.modality import Modality
from omni.sequence import Document, Role, Segment


@dataclass(frozen=True)
class Choice:
    """One question of an exam."""

    question: tuple[Segment, ...]
    options: tuple[tuple[Segment, ...], ...]
    """Two or more, all of one modality: nats of text and errors of patches can't be compared."""
    answer: int
    """Number of the right option, from 0."""
    key: str = "question"
    """Name of the question; all of its options are scored with the noise that belongs to it."""
    source: str = "choices"
    """Exam that it belongs to; figures are named after it."""

    def __post_init__(self) -> None:
        if len(self.options) < 2:
            raise ValueError(f"{self.key}: a question needs two options or more, got {len(self.options)}")
        if not 0 <= self.answer < len(self.options):
            raise ValueError(
                f"{self.key}: answer {self.answer} is none of the options 0 to {len(self.options) - 1}"
            )
        kinds = {segment.modality.name for option in self.options for segment in option}
        if not all(self.options) or len(kinds) != 1:
            raise ValueError(
                f"{self.key}: options must be of one modality and not empty, got segments of {sorted(kinds)} in "
                f"{[len(option) for option in self.options]} segments"
            )

    @property
    def modality(self) -> Modality:
        """Of the options."""
        return self.options[0][0].modality

    def documents(self, chat: bool = True) -> list[Document]:
        """The question with each of its options as the answer, which alone is scored.

        With ``chat``, segments without a role are the user's, and the option is the assistant's answer; otherwise
        the option continues the question.
        """
        asked = _turn(self.question, "user" if chat else None, loss=False)
        return [replace(one, segments=(*asked, *one.segments)) for one in self.unasked(chat)]

    def unasked(self, chat: bool = True) -> list[Document]:
        """The options without the question: how likely each is by itself."""
        role: Role | None = "assistant" if chat else None
        return [Document(_turn(option, role, loss=True), self.key, self.source) for option in self.options]


def _turn(segments: Seq[Segment], role: Role | None, loss: bool) -> tuple[Segment, ...]:
    return tuple(replace(segment, role=segment.role or role, loss=loss) for segment in segments)
