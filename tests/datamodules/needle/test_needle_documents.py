"""Documents with needles: where they lie, how long they are, and what of them is trained on."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from omni.datamodules.demo.digits import digit_pictures
from omni.datamodules.demo.speech import DIGIT_WORDS, SpokenWord
from omni.datamodules.needle.documents import NeedleDocuments, NeedleSize
from omni.datamodules.needle.haystack import Haystack
from omni.datamodules.needle.needles import DIGITS, KINDS, Kind, NeedleMaker
from omni.layout import Layout
from omni.sequence import Audio, Document, Image, Text
from tests.tiny import SAMPLE_RATE, SENTENCES, WORDS, tiny_tokenizers, tone


@cache
def documents(part: str = "train", seed: int = 0) -> NeedleDocuments:
    layout = Layout(tiny_tokenizers())
    words = [SpokenWord(word, "chord", "0", Audio(tone(i), SAMPLE_RATE)) for i, word in enumerate(WORDS)]
    lines = [sentence + "\n" for sentence in SENTENCES]
    haystack = Haystack(lines, lambda line: len(layout.text.encode(line)))
    maker = NeedleMaker(digit_pictures().train[:100], words)
    return NeedleDocuments(haystack, maker, layout, seed, part)  # type: ignore[arg-type]


def positions(document: Document) -> int:
    return len(Layout(tiny_tokenizers()).encode(document))


def text_of(document: Document) -> str:
    return "".join(s.text for s in document.segments if isinstance(s, Text) and s.role == "user")


@pytest.mark.parametrize("length", [256, 1000, 3000])
@pytest.mark.parametrize("kind", KINDS)
def test_a_document_is_as_long_as_asked_but_for_part_of_a_line(kind: Kind, length: int) -> None:
    longest = int(documents().haystack.tokens.max())
    assert length - longest <= positions(documents().single(kind, length, 0.5, 0)) <= length


@pytest.mark.parametrize("depth", [0.0, 0.25, 1.0])
def test_the_needle_lies_at_its_depth_and_is_asked_for(depth: float) -> None:
    document = documents().single("text", 2000, depth, 3)
    (asked, answer) = document.segments
    assert isinstance(asked, Text) and isinstance(answer, Text)
    number = answer.text
    assert number == document.label and len(set(number.split())) == DIGITS
    assert set(number.split()) <= set(DIGIT_WORDS)
    hay, _, question = asked.text.partition(f" is {number}.\n")
    before, _, key = hay.partition("The magic number of the ")
    after, _, asked_key = question.partition("What is the magic number of the ")
    assert asked_key == f"{key}?"
    assert len(before) / (len(before) + len(after)) == pytest.approx(depth, abs=0.03)
    assert number not in before + after


@pytest.mark.parametrize(("kind", "medium"), [("image", Image), ("audio", Audio)])
def test_a_picture_or_clip_lies_between_the_prose(kind: Kind, medium: type) -> None:
    document = documents().single(kind, 1500, 0.5, 1)
    assert [type(segment) for segment in document.segments] == [Text, medium, Text, Text]
    assert document.label in DIGIT_WORDS
    assert [segment.loss for segment in document.segments] == [False, False, False, True]


def test_all_needles_are_asked_for_and_only_answers_are_trained_on() -> None:
    size = NeedleSize(lengths=(1000, 1000), needles=(6, 6))
    document = documents().several(0, ["text"], size)
    roles = [segment.role for segment in document.segments]
    assert roles == ["user", "assistant"] * 6
    assert [segment.loss for segment in document.segments] == [False, True] * 6
    text = text_of(document)
    for question, answer in zip(document.segments[2::2], document.segments[3::2], strict=True):
        assert isinstance(question, Text) and isinstance(answer, Text)
        key = question.text.removeprefix("What is the magic number of the ").removesuffix("?")
        assert text.count(f"The magic number of the {key} is {answer.text}.\n") == 1
    assert len({segment.text for segment in document.segments[1::2] if isinstance(segment, Text)}) == 6


def test_a_short_document_has_fewer_needles() -> None:
    """With these tokenizers, which spell most words, a needle and its question take about 80 positions."""
    size = NeedleSize(lengths=(300, 300), needles=(8, 8))
    document = documents().several(0, ["text"], size)
    assert 2 * 2 <= len(document.segments) <= 2 * 4 and positions(document) <= 300


def test_a_document_is_a_function_of_seed_and_number_alone() -> None:
    size = NeedleSize(lengths=(128, 600), needles=(1, 3))
    fifth = documents().several(5, ["text"], size)
    documents().several(4, ["text"], size)
    assert documents().several(5, ["text"], size) == fifth
    assert text_of(documents(seed=1).several(5, ["text"], size)) != text_of(fifth)
    assert text_of(documents("heldout").several(5, ["text"], size)) != text_of(fifth)


def test_lengths_spread_evenly_over_doublings() -> None:
    size, rng = NeedleSize(lengths=(128, 2048)), np.random.default_rng(0)
    drawn = np.array([size.draw(rng)[0] for _ in range(4000)])
    share, _ = np.histogram(np.log2(drawn), bins=[7, 8, 9, 10, 11.01])
    np.testing.assert_allclose(share / 4000, 0.25, atol=0.03)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"lengths": (32, 128)}, "lengths 32-128: expected two rising numbers, 64 or more"),
        ({"lengths": (512, 256)}, "lengths 512-256"),
        ({"lengths": (128, 256), "needles": (0, 3)}, "needles 0-3"),
        ({"lengths": (128, 256), "needles": (1, 99)}, "needles 99: at most 48"),
    ],
)
def test_sizes_that_cannot_be(settings: dict[str, tuple[int, int]], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        NeedleSize(**settings)


def test_a_needle_that_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"train-text-40-0500-0: 40 positions can't hold 1 needles"):
        documents().single("text", 40, 0.5, 0)
