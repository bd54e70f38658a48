"""Which documents are tasks, and where a prompt ends."""

from __future__ import annotations

import numpy as np
import pytest

from omni.evaluation.tasks import TASKS, Figure, Reading, Task, split_prompt, task_of
from omni.modality import AUDIO, IMAGE, TEXT, Modality
from omni.sequence import Audio, Document, Image, Segment, Text

PICTURE = Image(np.zeros((8, 8, 3), dtype=np.uint8))
CLIP = Audio(np.zeros(800, dtype=np.float32), 8000)
QUESTION = Text("which digit?", loss=False)


def test_the_prompt_ends_before_the_first_trained_segment() -> None:
    system, answer, followup = Text("Be brief.", loss=False), Text("six"), Text("sure?", loss=False)
    document = Document((system, QUESTION, answer, followup))
    assert split_prompt(document) == ((system, QUESTION), (answer, followup))
    assert split_prompt(Document((answer,))) == ((), (answer,))
    assert split_prompt(Document((QUESTION,))) == ((QUESTION,), ())


def test_every_task_of_the_table_is_found() -> None:
    for task in TASKS:
        assert task_of(Document((Text("a"),), source=task.source)) is task


def test_the_figures_are_the_promised_ones() -> None:
    figures = {f.name for task in TASKS if isinstance(task, Task) for f in task.figures}
    assert figures == {
        "image_to_text_exact",
        "chart_to_text_exact",
        "audio_to_text_exact",
        "arithmetic_exact",
        "text_to_image_judged",
        "audio_to_image_judged",
        "text_to_audio_judged",
        "text_to_audio_pocketsphinx",
        "image_to_audio_judged",
    }


@pytest.mark.parametrize(
    ("answer", "want", "figure"),
    [
        (Text("six"), TEXT, Figure("mine_exact", "exact")),
        (PICTURE, IMAGE, Figure("mine_judged", "digits")),
        (CLIP, AUDIO, Figure("mine_judged", "speech")),
    ],
)
def test_unknown_sources_want_what_their_answer_is(answer: Segment, want: Modality, figure: Figure) -> None:
    assert task_of(Document((QUESTION, answer), source="mine")) == Task("mine", want, (figure,))


def test_unknown_running_text_is_read() -> None:
    document = Document((Text("Once upon a time"),), source="mine")
    assert task_of(document) == Reading("mine", "mine_perplexity", "mine_unigram_perplexity")


def test_what_asks_and_says_nothing_is_no_task() -> None:
    assert task_of(Document((PICTURE,), source="mine")) is None
    assert task_of(Document((QUESTION,), source="mine")) is None
