"""The report of a study: what it says, what it marks, and that it needs nothing but itself."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from omni.cli.ablate.report.page import report_page
from tests.cli.ablate.made_up_study import measured, study_results

VOID = {"meta", "link", "img", "br", "source", "line", "circle", "path", "rect", "use"}


class Balanced(HTMLParser):
    """Fails on an element that isn't closed where it should be."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids += [value for name, value in attrs if name == "id" and value]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open and self.open.pop() == tag, (tag, self.open[-3:], self.getpos())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return report_page(study_results(tmp_path_factory.mktemp("study")), measured())


def test_the_page_is_whole_and_loads_nothing(page: str) -> None:
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert len(set(parser.ids)) == len(parser.ids), "an id comes twice"
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)


def test_who_is_ahead_is_said_where_the_interval_leaves_zero_out(page: str) -> None:
    readings = re.search(r'<ul class="readings">(.*?)</ul>', page)
    assert readings is not None
    said = readings[1]
    assert "encoder is ahead of unified on all_text_loss" in said
    assert "These runs don&#x27;t show which of encoder and unified is ahead on all_image_loss" in said
    assert "unified is ahead of cascade on " in said


def test_failed_runs_and_what_could_not_be_measured_are_shown(page: str) -> None:
    assert "encoder-seed2: failed." in page
    assert "RuntimeError: it went wrong" in page
    assert "8 of 9" in page
    assert "its checkpoint is damaged" in page


def test_orders_are_compared_between_variants_of_one_model(page: str) -> None:
    """With seed 2 the encoder's run failed, and a cascade's stages read other documents: nothing to compare."""
    assert page.count("8,192 documents in 2 windows were the same in the same order") == 2


def test_every_part_has_its_plots(page: str) -> None:
    for name in ("loss-val-text", "loss-train-audio"):
        assert f'id="{name}-' in page
    assert page.count('class="forest') == 2 * 6
    assert "audio_to_text 200 ms, text_to_audio 800 ms" in page
    assert 'id="scaling"' not in page


def test_three_sizes_have_a_law(tmp_path: Path) -> None:
    page = report_page(study_results(tmp_path, ("s", "m", "l"), (0, 1)), measured())
    assert 'id="scaling"' in page
    exponents = [float(one) for one in re.findall(r"unified: b = (\d\.\d+)", page)]
    assert exponents[0] == pytest.approx(0.05, abs=0.02)
