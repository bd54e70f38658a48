"""What a task makes: a user's question and an assistant's answer, an answer alone, or running text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from omni.sequence import Document, Segment, Text, turn_of


@dataclass(frozen=True, eq=False)
class Task:
    """A document that has no name yet."""

    segments: tuple[Segment, ...]
    label: str | None
    """What a judge should read, see or hear in the last segment, where that is known."""


def asked_by_user(question: Sequence[Segment]) -> tuple[Segment, ...]:
    """A user's turn, which isn't trained on. Empty texts are left out, texts that follow each other become one."""
    asked: list[Segment] = []
    for segment in question:
        if isinstance(segment, Text) and asked and isinstance(asked[-1], Text):
            asked[-1] = Text(text=asked[-1].text + segment.text)
        elif not (isinstance(segment, Text) and not segment.text):
            asked.append(segment)
    return turn_of(asked, "user", False)


def answered(question: Sequence[Segment], answer: Segment, label: str) -> Task:
    """A user's turn and an assistant's, which is trained on."""
    return Task(asked_by_user(question) + turn_of([answer], "assistant", True), label)


def unprompted(answer: Segment, label: str) -> Task:
    """An assistant's turn alone; classifier-free guidance leads away from what is learnt here."""
    return Task(turn_of([answer], "assistant", True), label)


def running_text(text: str) -> Task:
    """Text that nobody says, all of it trained on."""
    return Task((Text(text=text),), None)


def documents(source: str, tasks: Iterable[Task], prefix: str = "") -> Iterator[Document]:
    """The tasks as documents of ``source``, with keys such as ``image_to_text-000123`` after the prefix."""
    for i, task in enumerate(tasks):
        key = f"{prefix}{source}-{i:06d}"
        yield Document(segments=task.segments, key=key, source=source, label=task.label)
