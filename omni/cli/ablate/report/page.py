"""The report of a study: one HTML file that needs nothing else."""

from __future__ import annotations

import platform
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from string import Template

import torch

from omni.ablation.figures import kind_of
from omni.ablation.outcomes import POOLED
from omni.ablation.results import Comparison, StudyResults
from omni.cli.ablate.checkpoint_stage import Measured
from omni.cli.ablate.report.curves import loss_curves, scaling_plots
from omni.cli.ablate.report.look import class_of
from omni.cli.ablate.report.measured import cost_tables, side_by_side, specialisation
from omni.cli.ablate.report.tables import budget_table, difference_tables
from omni.cli.demo.report.markup import Markup, join, tag
from omni.cli.demo.report.page import page_part

REPORT_FILE = "study.html"
_SHOWN_READINGS = 8


def write_report(folder: Path, results: StudyResults, measured: Measured) -> Path:
    """Write ``folder/study.html`` and return its path.

    Raises:
        ImportError: matplotlib isn't installed.
    """
    path = folder / REPORT_FILE
    path.write_text(report_page(results, measured), encoding="utf-8")
    return path


def report_page(results: StudyResults, measured: Measured) -> str:
    """The page as a string."""
    study = results.study
    sections: list[tuple[str, str, Callable[[], Markup]]] = [
        ("budget", "What each run cost", lambda: budget_table(results)),
        ("losses", "Losses", lambda: loss_curves(results)),
        ("differences", "Differences", lambda: difference_tables(results)),
        ("scaling", "Scaling", lambda: scaling_plots(results)),
        ("experts", "Which modality uses which experts", lambda: specialisation(study, measured)),
        ("costs", "Costs", lambda: cost_tables(study, measured)),
        ("samples", "Samples side by side", lambda: side_by_side(study, measured)),
        ("settings", "Settings", lambda: _settings(results)),
    ]
    if len(study.sizes) == 1:
        sections = [section for section in sections if section[0] != "scaling"]
    template = resources.files(__package__).joinpath("study.html").read_text(encoding="utf-8")
    own = resources.files(__package__).joinpath("study.css").read_text(encoding="utf-8")
    return Template(template).substitute(
        name=join(study.name),
        question=join(study.question or study.name),
        style=Markup(page_part("style.css") + own),
        script=Markup(page_part("player.js")),
        headline=_headline(results),
        navigation=join(*(tag("a", title, href=f"#{anchor}") for anchor, title, _ in sections)),
        sections=join(*(tag("section", tag("h2", title), made(), id=a) for a, title, made in sections)),
    )


def _headline(results: StudyResults) -> Markup:
    """The readings of the main figures, the main numbers, and what a reader must know first."""
    done = sum(run.done for run in results.runs)
    same = all(check.same for check in results.orders.values())
    tiles = {
        "runs that ended well": f"{done} of {len(results.runs)}",
        "seeds": str(len(results.study.seeds)),
        "budgets apart": f"{max(one['share'] for one in results.plan['spreads']):.2%}",
        "document order": "not compared" if not results.orders else "same" if same else "differs",
    }
    shown = [tag("div", tag("b", value), tag("span", name), class_="tile") for name, value in tiles.items()]
    return join(tag("div", *shown, class_="tiles"), *_notices(results), _readings(results))


def _notices(results: StudyResults) -> list[Markup]:
    notices = []
    for run in results.runs:
        if not run.done:
            error = [tag("pre", run.error, class_="error")] if run.error else []
            said = f"{run.name}: {run.state}."
            notices.append(tag("div", tag("b", said), *error, class_="notice bad"))
    for name, check in results.orders.items():
        if not check.same:
            notices.append(tag("p", tag("b", f"{name}: "), str(check), class_="notice bad"))
    return notices


def _readings(results: StudyResults) -> Markup:
    """Losses over all sources, then the shares that differ most."""
    size = results.study.sizes[-1].name
    ones = [one for one in results.comparisons if one.size == size]
    first = [one for one in ones if one.figure in POOLED]
    shares = [one for one in ones if kind_of(one.figure).unit == "share" and one not in first]
    decided = sorted(
        (one for one in shares if not one.difference.holds_zero), key=lambda one: -abs(one.difference.value)
    )
    shown = [*first, *decided[: max(0, _SHOWN_READINGS - len(first))]]
    if not shown:
        return Markup("")
    open_shares = sum(one.difference.holds_zero for one in shares)
    rest = [
        tag(
            "li", f"Of {len(shares)} shares of right answers, {open_shares} have an interval that holds zero."
        )
    ]
    lines = [tag("li", one.reading, class_=_ahead(results, one)) for one in shown]
    return tag("ul", *lines, *(rest if shares else []), class_="readings")


def _ahead(results: StudyResults, one: Comparison) -> str | None:
    """Class of the variant that is ahead, if one is."""
    if one.difference.holds_zero:
        return None
    better = (one.difference.value < 0) == kind_of(one.figure).lower_is_better
    return f"ahead {class_of(results.study, one.variant if better else one.baseline)}"


def _settings(results: StudyResults) -> Markup:
    orders = [tag("p", tag("b", f"{name}: "), str(check)) for name, check in results.orders.items()]
    versions = {
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": str(torch.get_num_threads()),
    }
    lines = [join(tag("dt", name), tag("dd", value)) for name, value in versions.items()]
    written = results.study.source.read_text(encoding="utf-8")
    return join(
        tag("h3", "Order of the documents"),
        *(orders or [tag("p", "Not compared: no two runs of a seed have ended.", class_="note")]),
        tag("dl", *lines),
        tag("details", tag("summary", f"The study: {results.study.source.name}"), tag("pre", written)),
    )
