"""What each stage of a cascade learns from: the documents of the unified model as that stage sees them.

A picture or clip becomes plain text by its transcript, which is the document's label in those sources where the label
says what stands in every medium of the document (a digit that is shown, drawn or said; the trend of a chart)::

    image_to_audio   [user: picture, "say it"] [assistant: clip]   label "seven"

    image_to_text    [user: picture] [assistant: "seven"]
    text_to_text     [user: "seven say it"] [assistant: "seven"]
    text_to_audio    [user: "seven"] [assistant: clip]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import replace
from typing import Literal, get_args

from omni.sequence import Document, Segment, Text, turn_of

Stage = Literal["image_to_text", "audio_to_text", "text_to_text", "text_to_image", "text_to_audio"]
STAGES: tuple[Stage, ...] = get_args(Stage)
TRANSCRIBED = (
    *("image_to_text", "audio_to_text", "chart_to_text", "text_to_image", "text_to_audio"),
    *("image_to_audio", "audio_to_image", "image", "audio"),
)
"""Sources of the demo whose labels are transcripts."""


def stage_documents(
    documents: Iterable[Document], stage: Stage, transcribed: Seq[str] = TRANSCRIBED
) -> Iterator[Document]:
    """The documents that ``stage`` can learn from, each as it sees it.

    Args:
        documents: of the unified model's data.
        stage: the two modalities that it goes between.
        transcribed: sources whose labels are transcripts. Media of others have none, so that such documents are
            for the language model alone, and only where they are text throughout.
    """
    have, want = stage.split("_to_")
    for document in documents:
        transcript = document.label if document.source in transcribed else None
        if stage == "text_to_text":
            found = _of_text(document, transcript)
        elif want == "text":
            found = _of_recogniser(document, transcript, have)
        else:
            found = _of_synthesiser(document, transcript, want)
        if found is not None:
            yield replace(document, segments=found)


def _of_recogniser(document: Document, transcript: str | None, have: str) -> tuple[Segment, ...] | None:
    """A medium that was given, and its transcript."""
    read = [segment for segment in document.segments if segment.modality.name == have and not segment.loss]
    if transcript is None or len(read) != 1:
        return None
    return *turn_of(read, "user", False), *turn_of([Text(transcript)], "assistant", True)


def _of_synthesiser(document: Document, transcript: str | None, want: str) -> tuple[Segment, ...] | None:
    """A transcript, and the medium that was answered; without a prompt, as it is (for guidance)."""
    made = [segment for segment in document.segments if segment.modality.name == want and segment.loss]
    if transcript is None or len(made) != 1:
        return None
    unprompted = all(segment.loss for segment in document.segments)
    asked = () if unprompted else turn_of([Text(transcript)], "user", False)
    return *asked, *turn_of(made, "assistant", True)


def _of_text(document: Document, transcript: str | None) -> tuple[Segment, ...] | None:
    """The document with its media in words; nothing where they have none, or nothing else is there."""
    media = sum(not isinstance(segment, Text) for segment in document.segments)
    if media and (transcript is None or media == len(document.segments)):
        return None
    return in_words(document.segments, [transcript or ""] * media)


def in_words(segments: Seq[Segment], transcripts: Seq[str]) -> tuple[Text, ...]:
    """The segments with each medium in the words of its transcript; texts of one turn become one.

    A space is put between a transcript and a text that don't bring one.
    """
    words = iter(transcripts)
    found: list[Text] = []
    after_medium = False
    for segment in segments:
        medium = not isinstance(segment, Text)
        text = segment.text if isinstance(segment, Text) else next(words)
        last = found[-1] if found else None
        if last is not None and (last.role, last.loss) == (segment.role, segment.loss):
            edges = last.text[-1:], text[:1]
            apart = (medium or after_medium) and all(edge and not edge.isspace() for edge in edges)
            space = " " if apart else ""
            found[-1] = replace(last, text=last.text + space + text)
        else:
            found.append(Text(text, role=segment.role, loss=segment.loss))
        after_medium = medium
    return tuple(found)
