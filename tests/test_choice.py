"""A question with options: what is asked and what is scored, and what can't be one."""

from __future__ import annotations

import pytest

from omni.choice import Choice
from omni.sequence import Audio, Image, Text
from tests.tiny import SAMPLE_RATE, picture, tiny_tokenizers, tone
from tests.tiny_model import sequences_of

SEVEN, SIX = (Text("seven"),), (Text("six"),)


def test_each_option_is_the_assistants_answer() -> None:
    first, second = Choice((Text("which?"),), (SEVEN, SIX), 0, key="q", source="exam").documents()
    assert first.segments == (Text("which?", role="user", loss=False), Text("seven", role="assistant"))
    assert second.segments[1] == Text("six", role="assistant")
    assert (first.key, first.source) == (second.key, second.source) == ("q", "exam")


def test_the_options_alone() -> None:
    first, second = Choice((Text("which?"),), (SEVEN, SIX), 0, key="q", source="exam").unasked()
    assert first.segments == (Text("seven", role="assistant"),)
    assert second.segments == (Text("six", role="assistant"),)


def test_roles_that_are_given_stay() -> None:
    asked = (Text("you are a reader", role="system"), Text("which?"))
    document = Choice(asked, (SEVEN, SIX), 0).documents()[0]
    assert [segment.role for segment in document.segments] == ["system", "user", "assistant"]


def test_only_the_option_and_its_end_are_targets() -> None:
    (sequence,) = sequences_of([Choice((Text("which digit?"),), (SEVEN, SIX), 0).documents()[0]])
    text = tiny_tokenizers().text
    assert sequence.text_ids[sequence.loss].tolist() == [*text.encode("seven"), text.end]


def test_without_chat_the_option_continues_the_question() -> None:
    (sequence,) = sequences_of([Choice((Text("one plus"),), ((Text(" two"),), SIX), 0).documents(False)[0]])
    text = tiny_tokenizers().text
    assert sequence.text_ids.tolist() == [
        text.begin,
        *text.encode("one plus"),
        *text.encode(" two"),
        text.end,
    ]


CLIP, DRAWN = Audio(tone(3), SAMPLE_RATE), Image(picture(3))


@pytest.mark.parametrize(
    ("options", "answer", "message"),
    [
        ((SEVEN,), 0, "k: a question needs two options or more, got 1"),
        ((SEVEN, SIX), 2, "k: answer 2 is none of the options 0 to 1"),
        ((SEVEN, SIX), -1, "k: answer -1 is none"),
        ((SEVEN, ()), 0, r"k: options must be of one modality and not empty, .* \[1, 0\] segments"),
        (((CLIP,), (DRAWN,)), 0, r"got segments of \['audio', 'image'\]"),
    ],
)
def test_what_is_no_question_is_named(options: tuple, answer: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Choice((Text("which?"),), options, answer, key="k")
