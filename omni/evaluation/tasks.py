"""Which sources of documents are tasks, what each wants, and which figures it yields."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from omni.modality import AUDIO, IMAGE, TEXT, Modality
from omni.sequence import Document, Segment, Text

JudgeName = Literal["exact", "digits", "speech", "sphinx"]
"""Exact match of text; a reader of pictures; two listeners."""


@dataclass(frozen=True)
class Figure:
    """A share of right answers in the metrics."""

    name: str
    judge: JudgeName


@dataclass(frozen=True)
class Task:
    """A question with an answer in one modality."""

    source: str
    want: Modality
    figures: tuple[Figure, ...]
    """The first says whether an example counts as right."""
    diversity: str | None = None
    """Name that figures on the diversity of the pictures begin with, where they are wanted."""


@dataclass(frozen=True)
class Reading:
    """Running text, of which the model says how likely it is."""

    source: str
    figure: str
    """Perplexity of the model."""
    baseline: str
    """Perplexity of single tokens by their frequency in training text."""


TASKS: tuple[Task | Reading, ...] = (
    Task("image_to_text", TEXT, (Figure("image_to_text_exact", "exact"),)),
    Task("chart_to_text", TEXT, (Figure("chart_to_text_exact", "exact"),)),
    Task("audio_to_text", TEXT, (Figure("audio_to_text_exact", "exact"),)),
    Task("arithmetic", TEXT, (Figure("arithmetic_exact", "exact"),)),
    Task("text_to_image", IMAGE, (Figure("text_to_image_judged", "digits"),), diversity="text_to_image"),
    Task("audio_to_image", IMAGE, (Figure("audio_to_image_judged", "digits"),)),
    Task(
        "text_to_audio",
        AUDIO,
        (Figure("text_to_audio_judged", "speech"), Figure("text_to_audio_pocketsphinx", "sphinx")),
    ),
    Task("image_to_audio", AUDIO, (Figure("image_to_audio_judged", "speech"),)),
    Reading("prose", "text_perplexity", "unigram_perplexity"),
    Reading("code", "code_perplexity", "code_unigram_perplexity"),
)

_BY_SOURCE = {task.source: task for task in TASKS}

_ELSE: dict[Modality, tuple[str, JudgeName]] = {
    TEXT: ("exact", "exact"),
    IMAGE: ("judged", "digits"),
    AUDIO: ("judged", "speech"),
}
"""Suffix of the figure and judge of tasks that are not in ``TASKS``."""


def split_prompt(document: Document) -> tuple[tuple[Segment, ...], tuple[Segment, ...]]:
    """Prompt and reference: what stands before the first segment that is trained on, and the rest."""
    for first, segment in enumerate(document.segments):
        if segment.loss:
            return document.segments[:first], document.segments[first:]
    return document.segments, ()


def task_of(document: Document) -> Task | Reading | None:
    """What to do with a document; ``None`` for one that has nothing to be measured.

    A source that is not in ``TASKS`` is a task where there is a prompt, wanting the modality of the
    document's last trained segment, and reading where there is only text. Its figures are named after it.
    """
    if document.source in _BY_SOURCE:
        return _BY_SOURCE[document.source]
    prompt, reference = split_prompt(document)
    source = document.source
    if prompt and reference:
        want = [segment.modality for segment in reference if segment.loss][-1]
        suffix, judge = _ELSE[want]
        return Task(source, want, (Figure(f"{source}_{suffix}", judge),))
    if reference and all(isinstance(segment, Text) for segment in reference):
        return Reading(source, f"{source}_perplexity", f"{source}_unigram_perplexity")
    return None
