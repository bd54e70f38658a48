"""What each stage of a cascade learns from, shown whole."""

from __future__ import annotations

import pytest

from omni.baselines.transcripts import STAGES, Stage, in_words, stage_documents
from omni.sequence import Audio, Document, Image, Role, Segment, Text
from tests.tiny import SAMPLE_RATE, picture, tone

PICTURE, CLIP = Image(picture(7)), Audio(tone(7), SAMPLE_RATE)


def turn(role: Role | None, *segments: Segment, loss: bool) -> tuple[Segment, ...]:
    made: list[Segment] = []
    for segment in segments:
        if isinstance(segment, Text):
            made.append(Text(segment.text, role=role, loss=loss))
        elif isinstance(segment, Image):
            made.append(Image(segment.pixels, role=role, loss=loss))
        else:
            made.append(Audio(segment.waveform, segment.sample_rate, role=role, loss=loss))
    return tuple(made)


def document(
    source: str, question: tuple[Segment, ...], answer: Segment, label: str | None = "seven"
) -> Document:
    segments = (*turn("user", *question, loss=False), *turn("assistant", answer, loss=True))
    return Document(segments, key=source, source=source, label=label)


DOCUMENTS = (
    document("image_to_text", (PICTURE, Text("which digit?")), Text("seven")),
    document("image_to_audio", (PICTURE, Text("say it")), CLIP),
    document("text_to_image", (Text("draw a seven"),), PICTURE),
    document("audio", (), CLIP),
    document(
        "arithmetic", (Text("two plus "), CLIP), Text("two and seven make nine"), "two and seven make nine"
    ),
    document("arithmetic", (Text("two plus three"),), Text("five"), "five"),
    Document((Text("running text"),), key="prose", source="prose"),
)


def shown(found: Document) -> str:
    """Such as ``user: "which?" image; assistant*: "six"``, a star for what is learnt."""
    turns: list[str] = []
    for segment in found.segments:
        who = f"{segment.role or 'nobody'}{'*' if segment.loss else ''}:"
        what = f'"{segment.text}"' if isinstance(segment, Text) else segment.modality.name
        if turns and turns[-1].startswith(who):
            turns[-1] += f" {what}"
        else:
            turns.append(f"{who} {what}")
    return "; ".join(turns)


@pytest.mark.parametrize(
    ("stage", "expected"),
    [
        ("image_to_text", ['user: image; assistant*: "seven"'] * 2),
        ("audio_to_text", []),
        (
            "text_to_text",
            [
                'user: "seven which digit?"; assistant*: "seven"',
                'user: "seven say it"; assistant*: "seven"',
                'user: "draw a seven"; assistant*: "seven"',
                'user: "two plus three"; assistant*: "five"',
                'nobody*: "running text"',
            ],
        ),
        ("text_to_image", ['user: "seven"; assistant*: image']),
        ("text_to_audio", ['user: "seven"; assistant*: audio', "assistant*: audio"]),
    ],
)
def test_stages(stage: Stage, expected: list[str]) -> None:
    found = list(stage_documents(DOCUMENTS, stage))
    assert [shown(one) for one in found] == expected
    assert all(one.key in {d.key for d in DOCUMENTS} for one in found)


def test_a_source_without_transcripts_is_for_the_language_model_where_it_is_text() -> None:
    assert [shown(one) for one in stage_documents(DOCUMENTS, "image_to_text", ("image_to_audio",))] == [
        'user: image; assistant*: "seven"'
    ]
    assert not list(stage_documents(DOCUMENTS, "text_to_audio", ()))
    assert len(STAGES) == 5


def test_words_stand_apart() -> None:
    asked = (Text("what is"), PICTURE, Text(" plus "), CLIP, Text("?"))
    (said,) = in_words(turn("user", *asked, loss=False), ["seven", "two"])
    assert said == Text("what is seven plus two ?", role="user", loss=False)
    assert in_words((PICTURE,), ["one"]) == (Text("one"),)
