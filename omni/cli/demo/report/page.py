"""The demo's report: one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from pathlib import Path
from string import Template

from omni.cli.demo.report.examples import choose, example_cards
from omni.cli.demo.report.experts import expert_maps
from omni.cli.demo.report.generated import picture_grid, speech_table
from omni.cli.demo.report.markup import Markup, join, tag
from omni.cli.demo.report.results import DemoResults
from omni.cli.demo.report.summary import headline, target_table, tour
from omni.cli.demo.report.targets import verdict, written
from omni.cli.demo.report.training import loss_curves, router_heat

REPORT_FILE = "report.html"
FIRST_EXAMPLES, WRONG_EXAMPLES = 12, 6
"""Shown of each task: the first, and further wrong ones."""
PROSE_SAMPLES = 4


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    anchor: str
    title: str
    explained: str
    content: Callable[[DemoResults], Markup]


def write_report(folder: Path, results: DemoResults) -> Path:
    """Write ``folder/report.html`` and return its path.

    Raises:
        ValueError: the file of the loss curves is missing or has none.
        ImportError: matplotlib isn't installed.
    """
    path = folder / REPORT_FILE
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(report_page(results), encoding="utf-8")
    return path


def report_page(results: DemoResults) -> str:
    """The page as a string."""
    rows = verdict(results.metrics, results.speech_is_synthetic)
    figures = Section("figures", "Figures and targets", _FIGURES, lambda found: target_table(found, rows))
    sections = (SECTIONS[0], figures, *SECTIONS[1:])
    return Template(page_part("page.html")).substitute(
        style=Markup(page_part("style.css")),
        script=Markup(page_part("player.js")),
        headline=headline(results, rows),
        navigation=join(*(tag("a", section.title, href=f"#{section.anchor}") for section in sections)),
        sections=join(*(_written(section, results) for section in sections)),
    )


def page_part(name: str) -> str:
    """A file that pages are made of: this report's page, and the style and the player that others use, too."""
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def _written(section: Section, results: DemoResults) -> Markup:
    explained = [tag("p", section.explained, class_="explained")] if section.explained else []
    return tag("section", tag("h2", section.title), *explained, section.content(results), id=section.anchor)


def _examples(source: str, results: DemoResults) -> Markup:
    return example_cards(choose(results.evaluation.of(source), FIRST_EXAMPLES, WRONG_EXAMPLES))


def _transcripts(results: DemoResults) -> Markup:
    parts = {"audio_to_text": "What was said?", "image_to_text": "Which digit is it?"}
    return join(*(join(tag("h3", title), _examples(source, results)) for source, title in parts.items()))


def _prose(results: DemoResults) -> Markup:
    perplexity = written(results.metrics.get("text_perplexity"), "plain")
    unigram = written(results.metrics.get("unigram_perplexity"), "plain")
    note = (
        "The model continues held-out documentation (bold: what it was given). Its perplexity there is "
        f"{perplexity} per token, that of single tokens by their frequency {unigram}. A model this small "
        "on a corpus this small learns the look of the language, not its sense."
    )
    samples = [
        tag("blockquote", tag("b", beginning), continued)
        for beginning, continued in results.prose[:PROSE_SAMPLES]
    ]
    return join(tag("p", note, class_="note"), *samples)


def _settings(results: DemoResults) -> Markup:
    entries = {"command": results.command, "speech": results.speech_origin, **results.settings}
    lines = [join(tag("dt", name), tag("dd", value)) for name, value in entries.items()]
    return join(
        tag("dl", *lines),
        _folded("Configuration", tag("pre", results.config)) if results.config else Markup(""),
        _folded("All of metrics.json", _all_metrics(results)),
    )


def _all_metrics(results: DemoResults) -> Markup:
    values = results.metrics.items()
    lines = [(name, "not measured" if value is None else f"{value:.6g}") for name, value in sorted(values)]
    return tag(
        "table", *(tag("tr", tag("th", name), tag("td", value)) for name, value in lines), class_="plain"
    )


def _folded(title: str, content: Markup) -> Markup:
    return tag("details", tag("summary", title), content)


_FIGURES = (
    "All on held-out data: pictures, voices or takes, pairs of digits and topics that training never saw. "
    "Intervals are Wilson's, from the number of examples."
)
SECTIONS: Sequence[Section] = (
    Section("tour", "What it does", "", tour),
    Section("pictures", "Drawing digits", "Asked in words, such as “draw a seven”.", picture_grid),
    Section("speech", "Saying digits", "Asked in words, such as “say seven”.", speech_table),
    Section(
        "image-to-audio",
        "From pictures to speech",
        "The model sees a digit and says it, without writing it down in between.",
        partial(_examples, "image_to_audio"),
    ),
    Section(
        "audio-to-image",
        "From speech to pictures",
        "The model hears a digit and draws it.",
        partial(_examples, "audio_to_image"),
    ),
    Section("transcripts", "Transcripts", "", _transcripts),
    Section(
        "arithmetic",
        "Arithmetic in mixed media",
        "Each operand is a picture, a clip or a word. No training sum adds the same two digits.",
        partial(_examples, "arithmetic"),
    ),
    Section("charts", "Reading charts", "", partial(_examples, "chart_to_text")),
    Section("prose", "Prose", "", _prose),
    Section("losses", "Training", "", loss_curves),
    Section("router", "Who uses which experts", "", router_heat),
    Section("experts", "Experts by layer and in pairs", "", expert_maps),
    Section("settings", "Settings", "", _settings),
)
"""The page from top to bottom; the table of targets stands behind the first."""
