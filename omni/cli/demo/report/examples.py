"""Examples as they went: what was asked, what came back, and what the judges made of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from omni.cli.demo.report.markup import Markup, join, tag
from omni.cli.demo.report.media import clip, picture
from omni.evaluation.judges.verdict import Verdict
from omni.evaluation.results import Example
from omni.evaluation.tasks import JudgeName
from omni.modality import AUDIO, IMAGE, TEXT, Modality
from omni.sequence import Segment

_VERBS: dict[JudgeName, str] = {
    "digits": "judge saw",
    "speech": "judge heard",
    "sphinx": "PocketSphinx heard",
}
"""How a judge's verdict is told; that of exact match is the answer itself."""
_VIEWS: dict[Modality, Callable[..., Markup]] = {
    TEXT: lambda segment, description: tag("span", segment.text.strip(), class_="words"),
    IMAGE: lambda segment, description: picture(segment.pixels, description),
    AUDIO: lambda segment, description: clip(segment, description),
}


@dataclass(frozen=True)
class Choice:
    """Examples to show: the first ones, whatever they are, and some that went wrong."""

    first: tuple[Example, ...]
    wrong: tuple[Example, ...]
    """Wrong ones behind the first."""
    note: str
    """How they were chosen, for the reader."""


def choose(examples: Sequence[Example], first: int, wrong: int) -> Choice:
    """The ``first`` examples and, of those behind them, up to ``wrong`` that went wrong."""
    judged = [example for example in examples if example.correct is not None]
    further = [example for example in examples[first:] if example.correct is False]
    shown = "Shown are all of them" if len(examples) <= first else f"Shown are the first {first}, not picked"
    if further:
        every = f"all {len(further)}" if len(further) <= wrong else f"{wrong} of the {len(further)}"
        more = "the only other wrong one" if len(further) == 1 else f"{every} further wrong ones"
        shown += f", and below them {more}"
    right = sum(example.correct is True for example in judged)
    note = f"{right} of {len(judged)} held-out examples are right. {shown}."
    return Choice(tuple(examples[:first]), tuple(further[:wrong]), note)


def example_cards(choice: Choice) -> Markup:
    """The chosen examples as cards."""
    if not choice.first:
        return tag("p", "Not part of this run.", class_="note")
    cards = tag("div", *map(example_card, choice.first), class_="cards")
    if choice.wrong:
        heading = tag("h4", "More that went wrong")
        cards = join(cards, heading, tag("div", *map(example_card, choice.wrong), class_="cards"))
    return join(tag("p", choice.note, class_="note"), cards)


def example_card(example: Example, heading: str | None = None) -> Markup:
    """What was asked; under it the answer, and the verdict."""
    asked = tag(
        "div", *(segment_view(s, f"given: {s.modality.name}") for s in example.prompt), class_="asked"
    )
    answered = tag("div", tag("span", "→", class_="arrow"), answer_view(example), class_="answered")
    title = [] if heading is None else [tag("h5", heading)]
    parts = (*title, asked, answered, verdict_line(example))
    return tag("div", *parts, class_=f"card {state(example)}", title=example.key)


def answer_view(example: Example) -> Markup:
    """The answer; a sign where there is none."""
    if example.answer is None:
        return tag("span", "(no answer)", class_="nothing")
    if example.answer.modality == TEXT and not example.answer_text:
        return tag("span", "(empty)", class_="nothing")
    view = segment_view(example.answer, f"generated for {example.label or 'the prompt'}")
    return tag("span", view, class_="answer")


def segment_view(segment: Segment, description: str) -> Markup:
    """A text, picture or clip."""
    return _VIEWS[segment.modality](segment, description)


def state(example: Example) -> str:
    """Class of the page's style: right, wrong or unjudged."""
    return "unjudged" if example.correct is None else "right" if example.correct else "wrong"


def verdict_line(example: Example) -> Markup:
    """Right or wrong in a sign and words, and what each judge saw or heard."""
    said = [
        f"{_VERBS[judge]} {heard(verdict)}" for judge, verdict in example.verdicts.items() if judge in _VERBS
    ]
    if example.correct is None:
        return tag("div", *_parts(["not judged", *said]), class_="verdict")
    parts = said if example.correct else [*said, f"should be {example.label or example.reference_text}"]
    sign = tag("b", "✓ right" if example.correct else "✗ wrong", class_="sign")
    return tag("div", sign, *_parts(parts), class_="verdict")


def heard(verdict: Verdict) -> str:
    """The word that a judge saw or heard."""
    return "nothing" if verdict.answer is None else verdict.answer


def _parts(parts: Sequence[str]) -> list[Markup]:
    return [tag("span", part) for part in parts]
