"""The demo's report: a page that needs nothing else and hides no failure."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from omni.cli.demo.report.examples import choose
from omni.cli.demo.report.markup import join, tag
from omni.cli.demo.report.page import FIRST_EXAMPLES, SECTIONS, WRONG_EXAMPLES, report_page, write_report
from omni.cli.demo.report.results import Continuation, DemoResults
from omni.cli.demo.report.targets import verdict
from omni.evaluation.judges.verdict import Verdict
from omni.sequence import Audio, Text
from tests.cli.made_up_results import METRICS, RATE, example, made_up_results, tasks

VOID = {"meta", "link", "img", "br", "col", "source"}


@pytest.fixture
def results(tmp_path: Path) -> DemoResults:
    return made_up_results(tmp_path)


class Page(HTMLParser):
    """A page taken apart; fails on an element that isn't closed where it should be."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs), f"<{tag}> has an attribute twice: {attrs}"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def of_class(self, *names: str) -> int:
        return sum(set(names) <= set((a.get("class") or "").split()) for _, a in self.elements)


def test_report_stands_alone(results: DemoResults, tmp_path: Path) -> None:
    path = write_report(tmp_path / "out", results)
    assert path == tmp_path / "out" / "report.html"
    text = path.read_text(encoding="utf-8")
    assert "://" not in text
    page = Page(text)
    keys = ("src", "href", "srcset", "data")
    named = [address for _, a in page.elements for key in keys if (address := a.get(key))]
    assert {address.split(",")[0].split(":")[0] for address in named if not address.startswith("#")} == {
        "data"
    }
    ids = Counter(a["id"] for _, a in page.elements if "id" in a)
    assert max(ids.values()) == 1, ids.most_common(3)
    assert {address[1:] for address in named if address.startswith("#")} <= set(ids)
    assert not re.search(r"url\((?!#)|@import", text)
    assert "prefers-color-scheme: dark" in text


def test_report_has_every_section(results: DemoResults) -> None:
    page = Page(report_page(results))
    ids = {a.get("id") for tag, a in page.elements if tag == "section"}
    assert ids == {section.anchor for section in SECTIONS} | {"figures"}
    tags = Counter(tag for tag, _ in page.elements)
    assert tags["audio"] == 2 + 2 + 4 * 3 + 5, "said, held out, in four other tasks, in the tour"
    assert all("controls" in a for tag, a in page.elements if tag == "audio")
    assert page.of_class("plot") == 3
    assert page.of_class("heat") == len(results.router_load)
    assert page.of_class("grid") == 3 + 3 * len(results.router_load), (
        "a map per modality, and one per layer's pairs"
    )
    for expected in (
        "All speech here is synthetic. The eSpeak NG synthesiser spoke every clip",
        "12.4\u00a0min",
        "held-out original",
        "Diversity 0.64, for the least diverse digit 0.39",
        'The "with" statement <is> used & loved.',
        "nats per token",
        "squared error per patch value",
        "nats per frame",
        "text and image 100 %",
        "Up to 25 %. Undecidedness by layer: 50 %, 50 %.",
        "layer 2: 1 and 2, 17 %",
        "omni demo --seed 3",
        "max_steps: 2200",
    ):
        assert " ".join(expected.split()) in page.text.replace("  ", " "), expected


def test_report_marks_targets(results: DemoResults) -> None:
    page = Page(report_page(results))
    outcomes = Counter(row.outcome for row in verdict(METRICS, speech_is_synthetic=True))
    assert outcomes == {"met": 9, "missed": 6, "not measured": 2}
    assert page.of_class("pill", "met") == 9
    assert page.of_class("pill", "missed") == 6
    assert page.of_class("pill", "not-measured") == 2
    assert "9 of 17 targets met" in page.text
    assert "6 targets missed. Picture → text, against a specialist 95.1 % (target ≥ 95.5 %);" in page.text
    assert "Not measured: Speech → picture; Arithmetic in mixed media." in page.text
    assert "96.4 to 99.7 % n = 200" in page.text


def test_report_marks_wrong_answers(results: DemoResults) -> None:
    page = Page(report_page(results))
    cards = len(tasks()) - 2  # drawn and said digits have tiles instead
    assert page.of_class("card", "wrong") == cards
    assert page.of_class("card", "right") == 2 * cards + len(tasks()), "and the tour"
    figures = [a.get("class") for tag, a in page.elements if tag == "figure"]
    assert Counter(figures) == {"right": 3, "wrong": 2, None: 8 + 1 + 2}
    assert "✗ wrong judge heard four should be seven" in page.text
    assert "classifier: four PocketSphinx: four" in page.text


def test_report_on_recorded_speech(results: DemoResults) -> None:
    origin = "recordings of 5 speakers"
    text = Page(report_page(replace(results, speech_is_synthetic=False, speech_origin=origin))).text
    assert f"Speech is recorded. Source: {origin}. People speak in the clips called recordings." in text
    assert "eSpeak" not in text
    assert "held-out recording" in text and "held-out original" not in text


def test_report_of_a_reduced_run(results: DemoResults) -> None:
    assert "reduced run" not in Page(report_page(results)).text
    text = Page(report_page(replace(results, reduced="scale 0.05, 20 steps"))).text
    assert "A reduced run. Not the whole demo: scale 0.05, 20 steps. The targets are for the whole" in text


def test_what_a_model_writes_stays_text(results: DemoResults) -> None:
    evil = '</p><script src="x.js"></script>'
    task = tasks()["image_to_text"]
    examples = (replace(example(task, 0, right=False), answer=Text(text=evil)),)
    changed = replace(
        results,
        prose=[Continuation(evil, evil)],
        evaluation=replace(results.evaluation, examples=examples),
        config=evil,
    )
    page = Page(report_page(changed))
    assert [a for tag, a in page.elements if tag == "script"] == [{}]
    assert page.text.count(evil) == 5, "tour, transcript, prose twice, configuration"


def test_answers_that_are_missing_empty_or_unjudged(results: DemoResults) -> None:
    silent = Audio(waveform=np.zeros(0, np.float32), sample_rate=RATE)
    spoken, drawn, read = (tasks()[name] for name in ("image_to_audio", "text_to_image", "audio_to_text"))
    examples = (
        replace(example(spoken, 0, right=False), answer=silent, verdicts={"speech": Verdict(None)}),
        replace(example(spoken, 1, right=False), answer=None, verdicts={"speech": Verdict(None)}),
        replace(example(drawn, 0), verdicts={}, right={}, correct=None),
        replace(example(read, 0, right=False), answer=Text(text=" "), verdicts={"exact": Verdict("")}),
    )
    text = Page(report_page(replace(results, evaluation=replace(results.evaluation, examples=examples)))).text
    assert "(no sound) ✗ wrong judge heard nothing should be seven" in text
    assert "(no answer) ✗ wrong judge heard nothing should be seven" in text
    assert "(empty) ✗ wrong should be seven" in text
    assert "not judged" in text
    assert "Not part of this run." in text


def test_number_of_examples_is_capped(results: DemoResults) -> None:
    examples = tuple(example(task, i, right=i % 3 != 0) for task in tasks().values() for i in range(200))
    text = report_page(replace(results, evaluation=replace(results.evaluation, examples=examples)))
    page = Page(text)
    cards = len(tasks()) - 2
    shown = sum(page.of_class("card", state) for state in ("right", "wrong"))
    assert shown == cards * (FIRST_EXAMPLES + WRONG_EXAMPLES) + len(tasks())
    assert len(text) < 2_000_000


def test_choice_of_examples() -> None:
    task = tasks()["image_to_text"]
    examples = [example(task, i, right=i not in (1, 5, 7, 8)) for i in range(10)]
    choice = choose(examples, first=4, wrong=2)
    assert [e.key[-1] for e in choice.first] == ["0", "1", "2", "3"]
    assert [e.key[-1] for e in choice.wrong] == ["5", "7"]
    assert choice.note == (
        "6 of 10 held-out examples are right. Shown are the first 4, not picked, and below them 2 of the 3 "
        "further wrong ones."
    )
    assert choose(examples[:1], first=4, wrong=2).note == (
        "1 of 1 held-out examples are right. Shown are all of them."
    )


def test_markup_escapes_all_but_itself() -> None:
    inner = tag("b", "a < b", class_="x")
    assert tag("p", inner, "&", title='"', hidden=True, id=None) == (
        '<p title="&quot;" hidden><b class="x">a &lt; b</b>&amp;</p>'
    )
    assert join(tag("br"), "<br>") == "<br>&lt;br&gt;"
