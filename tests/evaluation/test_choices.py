"""Multiple choice by likelihood, with options of every modality."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from omni.choice import Choice
from omni.datamodules.collate import collate
from omni.evaluation.choices import Chosen, choice_tallies, choose_options
from omni.evaluation.scorer import DocumentScorer
from omni.inference.score import text_nats
from omni.layout import Layout
from omni.sequence import Audio, Document, Image, Segment, Text
from tests.tiny import SAMPLE_RATE, WORDS, picture, tiny_tokenizers, tone
from tests.tiny_model import sequences_of, tiny_model

DRAWN = tuple(Image(picture(digit)) for digit in range(4))
SAID = tuple(Audio(tone(digit, 0.1 + 0.05 * digit), SAMPLE_RATE) for digit in range(4))
WRITTEN = tuple(Text(word) for word in WORDS[:4])
ASKED: tuple[Segment, ...] = (DRAWN[3], Text("or"), SAID[2], Text("?"))


@pytest.fixture(scope="module")
def scorer() -> DocumentScorer:
    return DocumentScorer(tiny_model().eval(), Layout(tiny_tokenizers()), collate)


def choice(options: tuple[Segment, ...], answer: int = 0, key: str = "q") -> Choice:
    return Choice(ASKED, tuple((option,) for option in options), answer, key=key, source="exam")


def test_text_is_scored_by_its_log_likelihood_behind_the_question(scorer: DocumentScorer) -> None:
    """Compared with the nats of each option scored as a document of its own."""
    asked = choice(WRITTEN)
    (chosen,) = choose_options(scorer, [asked])
    for number, document in enumerate(asked.documents()):
        ids, nats = text_nats(scorer.model, collate([sequences_of([document])]))
        assert chosen.sums[number] == pytest.approx(-nats.sum(), rel=1e-4)
        assert chosen.means[number] == pytest.approx(-nats.mean(), rel=1e-4)
        assert ids[-1] == tiny_tokenizers().text.end
    assert chosen.sums[chosen.likeliest] == max(chosen.sums)


@pytest.mark.parametrize("options", [WRITTEN, DRAWN, SAID], ids=["text", "image", "audio"])
def test_the_order_of_options_does_not_matter(scorer: DocumentScorer, options: tuple[Segment, ...]) -> None:
    forth, back = choose_options(scorer, [choice(options), choice(options[::-1])])
    assert np.isfinite(forth.sums).all() and len(set(forth.sums)) == len(options)
    np.testing.assert_allclose(forth.sums, back.sums[::-1], rtol=1e-4)
    assert (forth.likeliest, forth.normalised) == (3 - back.likeliest, 3 - back.normalised)


def test_what_is_shown_and_said_in_the_question_matters(scorer: DocumentScorer) -> None:
    asked = choice(WRITTEN)
    others = [replace(asked, question=(DRAWN[0], *ASKED[1:])), replace(asked, question=(*ASKED[:2], SAID[0]))]
    one, *rest = choose_options(scorer, [asked, *others])
    for other in rest:
        assert np.abs(one.sums - other.sums).min() > 1e-3


def test_a_long_option_is_not_at_a_disadvantage_by_the_mean() -> None:
    chosen = Chosen(choice(WRITTEN[:2]), np.array([-3.0, -4.0]), np.array([-3.0, -1.0]), np.zeros(2))
    assert (chosen.likeliest, chosen.normalised) == (0, 1)


def test_an_option_that_is_rare_by_itself_is_not_at_a_disadvantage_by_the_gain() -> None:
    sums = np.array([-3.0, -4.0])
    assert Chosen(choice(WRITTEN[:2]), sums, sums, np.array([-3.5, -9.0])).calibrated == 1


def test_options_are_scored_without_the_question_too(scorer: DocumentScorer) -> None:
    (chosen,) = choose_options(scorer, [choice(WRITTEN)])
    for number, text in enumerate(WRITTEN):
        alone = Document((replace(text, role="assistant"),))
        _, nats = text_nats(scorer.model, collate([sequences_of([alone])]))
        assert chosen.unasked[number] == pytest.approx(-nats.sum(), rel=1e-4)


def test_figures() -> None:
    sums = np.array([-3.0, -4.0, -5.0, -6.0])
    free = np.array([-9.0, -9.0, -9.0, -20.0])
    right, wrong = (Chosen(choice(WRITTEN, answer), sums, sums[::-1], free) for answer in (0, 3))
    found = {tally.name: tally for tally in choice_tallies({0: right, 1: wrong, 2: wrong})}
    assert {name: tally.value for name, tally in found.items()} == {
        "exam_choice": pytest.approx(1 / 3),
        "exam_choice_normalised": pytest.approx(2 / 3),
        "exam_choice_calibrated": pytest.approx(2 / 3),
        "exam_choice_chance": 0.25,
    }
    low, high = found["exam_choice"].interval()
    assert low < 1 / 3 < high
