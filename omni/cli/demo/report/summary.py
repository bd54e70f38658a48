"""The top of the report: what the run was, how it went, and one example of everything the model does."""

from __future__ import annotations

from collections.abc import Sequence

from omni.cli.demo.report.examples import example_card
from omni.cli.demo.report.markup import Markup, join, tag
from omni.cli.demo.report.results import DemoResults
from omni.cli.demo.report.targets import Row, written
from omni.evaluation.metrics.intervals import Interval

_TOUR = {
    "image_to_text": "picture → text",
    "audio_to_text": "speech → text",
    "text_to_image": "text → picture",
    "text_to_audio": "text → speech",
    "image_to_audio": "picture → speech",
    "audio_to_image": "speech → picture",
    "arithmetic": "arithmetic in mixed media",
    "chart_to_text": "chart → trend",
}
"""Tasks in the order of the tour."""
_SYNTHETIC = (
    "The eSpeak NG synthesiser spoke every clip of this run, those called original included; no person "
    "was recorded. Figures on speech say how the model does on synthetic voices that training never "
    "heard, not on people. To train on recordings instead: "
)


def headline(results: DemoResults, rows: Sequence[Row]) -> Markup:
    """The run in a sentence, its main numbers, and what a reader must know before the figures."""
    what = (
        "From nothing, one command made a corpus of handwritten digits, spoken digit words, line charts, "
        "English prose and Python code, trained tokenizers and one Mixture-of-Experts transformer on it, "
        "and asked the model questions about data that it had never seen. Other models, not this one, "
        "judged the answers."
    )
    return join(
        tag("p", what, class_="lead"),
        tag("div", *_tiles(results, rows), class_="tiles"),
        *_notices(results, rows),
    )


def _tiles(results: DemoResults, rows: Sequence[Row]) -> list[Markup]:
    met = sum(row.outcome == "met" for row in rows)
    tiles = {
        "targets met": f"{met} of {len(rows)}",
        "from start to report": written(results.metrics.get("seconds"), "minutes"),
        "peak memory": written(results.metrics.get("peak_memory_gib"), "GiB"),
        "parameters": f"{results.parameters / 1e6:.1f} M",
        "seed": str(results.seed),
        "speech": "synthetic" if results.speech_is_synthetic else "recorded",
    }
    return [tag("div", tag("b", value), tag("span", name), class_="tile") for name, value in tiles.items()]


def _notices(results: DemoResults, rows: Sequence[Row]) -> list[Markup]:
    notices = []
    if results.reduced is not None:
        limits = f"Not the whole demo: {results.reduced}. The targets are for the whole demo."
        notices.append(_notice("A reduced run.", limits, bad=True))
    if missed := [row for row in rows if row.outcome == "missed"]:
        figures = "; ".join(f"{row.figure} {row.reached_text} (target {row.target_text})" for row in missed)
        targets = "1 target missed." if len(missed) == 1 else f"{len(missed)} targets missed."
        notices.append(_notice(targets, f"{figures}.", bad=True))
    if missing := [row.figure for row in rows if row.outcome == "not measured"]:
        notices.append(_notice("Not measured:", f"{'; '.join(missing)}."))
    if results.speech_is_synthetic:
        command = tag("code", "omni demo --speech DIR")
        notices.append(_notice("All speech here is synthetic.", _SYNTHETIC, command, "."))
    else:
        origin = f"Source: {results.speech_origin}. People speak in the clips called recordings."
        notices.append(_notice("Speech is recorded.", origin))
    return notices


def _notice(headword: str, *content: str, bad: bool = False) -> Markup:
    return tag("p", tag("b", headword), " ", *content, class_="notice bad" if bad else "notice")


def tour(results: DemoResults) -> Markup:
    """The first held-out example of every task."""
    cards = [
        example_card(examples[0], heading)
        for source, heading in _TOUR.items()
        if (examples := results.evaluation.of(source))
    ]
    note = "The first held-out example of each task, right or wrong. Click a waveform to hear it."
    return join(tag("p", note, class_="note"), tag("div", *cards, class_="cards"))


def target_table(results: DemoResults, rows: Sequence[Row]) -> Markup:
    """Every target with the figure reached."""
    names = ("Figure", "Reached", "95 % interval", "Target", "")
    head = tag("thead", tag("tr", *(tag("th", name, scope="col") for name in names)))
    lines = [_target_line(row, results) for row in rows]
    return tag("table", head, tag("tbody", *lines), class_="targets")


def _target_line(row: Row, results: DemoResults) -> Markup:
    name = row.target.metric
    measured = row.outcome != "not measured"
    interval = results.evaluation.intervals.get(name) if measured else None
    count = results.evaluation.counts.get(name) if measured else None
    signs = {"met": "✓ met", "missed": "✗ missed", "not measured": "not measured"}
    note = tag("small", row.target.note, " ", tag("code", name))
    return tag(
        "tr",
        tag("th", row.figure, note, scope="row"),
        tag("td", tag("b", row.reached_text), class_="number"),
        tag("td", *_interval(interval), *([tag("small", f"n = {count}")] if count else []), class_="number"),
        tag("td", row.target_text, class_="number"),
        tag("td", tag("span", signs[row.outcome], class_=f"pill {row.outcome.replace(' ', '-')}")),
        class_=row.outcome.replace(" ", "-"),
    )


def _interval(interval: Interval | None) -> list[Markup]:
    if interval is None:
        return []
    return [tag("span", f"{100 * interval.low:.1f} to {100 * interval.high:.1f} %", class_="interval")]
