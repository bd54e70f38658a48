"""The tables of the report: what each run cost, and every figure of a variant against the baseline."""

from __future__ import annotations

from collections.abc import Sequence

from omni.ablation.figures import kind_of
from omni.ablation.outcomes import POOLED
from omni.ablation.results import Comparison, RunResult, StudyResults
from omni.ablation.study import Study
from omni.cli.ablate.report.look import class_of, name_tag
from omni.cli.demo.report.markup import Markup, join, tag
from omni.planning.family import scaled

_WIDTH, _HEIGHT, _MARGIN = 220, 22, 8


def budget_table(results: StudyResults) -> Markup:
    """A line per run, failed ones marked."""
    names = ("run", "parameters", "active", "steps", "tokens", "FLOPs", "tokens/s", "peak memory", "")
    wide = {"active", "steps", "tokens/s", "peak memory"}
    head = tag("tr", *(tag("th", n, scope="col", class_="wide" if n in wide else None) for n in names))
    rows = [_budget_line(results.study, run) for run in results.runs]
    spread = "; ".join(
        f"{one['figure']}{' at size ' + one['size'] if one['size'] else ''} {one['share']:.2%} apart"
        for one in results.plan["spreads"]
    )
    note = (
        f"Matched: {results.study.budget.match.replace('_', ' ')} ({spread}; allowed are "
        f"{results.plan['tolerance']:.1%}). FLOPs are counted from config and data: forward and backward pass of "
        "matrix products and attention. Tokens are positions, as the run's log counted them. Tokens a second are of "
        "the whole training process, start and validation included, one run after another: other work on the machine "
        "counts; costs measured in alternation stand below."
    )
    table = tag("table", tag("thead", head), tag("tbody", *rows), class_="figures")
    return join(tag("p", note, class_="note"), tag("div", table, class_="scroll"))


def _budget_line(study: Study, run: RunResult) -> Markup:
    planned = run.planned
    tokens = run.tokens or planned.tokens
    peak = max(run.peak_memory_gib.values(), default=None)
    rate = f"{tokens / run.training_seconds:,.0f}" if run.done and run.training_seconds else ""
    name = tag("th", name_tag(study, run.variant), tag("small", run.name), scope="row")
    return tag(
        "tr",
        name,
        tag("td", scaled(planned.parameters)),
        tag("td", scaled(planned.active), class_="wide"),
        tag("td", f"{planned.steps:,}", class_="wide"),
        tag("td", scaled(tokens)),
        tag("td", f"{planned.flops:.3e}"),
        tag("td", rate, class_="wide"),
        tag("td", "" if peak is None else f"{peak:.2f} GiB", class_="wide"),
        tag("td", "" if run.done else run.state),
        class_=None if run.done else "failed",
    )


def difference_tables(results: StudyResults) -> Markup:
    """A table per variant and size: losses over all sources and shares first, the rest folded."""
    note = (
        "Each variant less the baseline, paired by seed and held-out example, mean over seeds. Bars are 95 % "
        "intervals of a bootstrap over seeds and examples; the dashed line is zero. A hollow point: the interval holds "
        "zero, and nobody is ahead. Each row stands alone: of twenty intervals one misses in the mean."
    )
    parts = [tag("p", note, class_="note")]
    for size in results.study.sizes:
        for variant in results.study.variants:
            rows = [c for c in results.comparisons if c.variant == variant.name and c.size == size.name]
            if not rows:
                continue
            first = [c for c in rows if c.figure in POOLED or kind_of(c.figure).unit == "share"]
            rest = [c for c in rows if c not in first]
            at = f" at size {size.name}" if size.name else ""
            title = tag("h3", name_tag(results.study, variant.name), f" against {results.study.baseline}{at}")
            parts += [title, _table(results.study, first)]
            if rest:
                summary = tag("summary", f"{len(rest)} further figures")
                parts.append(tag("details", summary, _table(results.study, rest)))
    return (
        join(*parts) if len(parts) > 1 else tag("p", "Nothing to compare: one variant has no finished run.")
    )


def _table(study: Study, rows: Sequence[Comparison]) -> Markup:
    names = ("figure", "variant", "baseline", "difference", "95 % interval", "")
    wide = {"variant", "baseline"}
    head = tag("tr", *(tag("th", n, scope="col", class_="wide" if n in wide else None) for n in names))
    body = [_line(study, one, _reach(one, rows)) for one in rows]
    return tag(
        "div", tag("table", tag("thead", head), tag("tbody", *body), class_="figures"), class_="scroll"
    )


def _reach(one: Comparison, rows: Sequence[Comparison]) -> float:
    """Largest end of an interval among figures of the same unit: they share a scale."""
    unit = kind_of(one.figure).unit
    ends = [
        abs(e) for c in rows if kind_of(c.figure).unit == unit for e in (c.difference.low, c.difference.high)
    ]
    return max([*ends, 1e-12])


def _line(study: Study, one: Comparison, reach: float) -> Markup:
    kind, difference = kind_of(one.figure), one.difference
    better = "less is better" if kind.lower_is_better else "more is better"
    interval = f"{kind.difference(difference.low)} to {kind.difference(difference.high)}"
    return tag(
        "tr",
        tag("th", one.figure, tag("small", f"{better}; n = {difference.examples}"), scope="row"),
        tag("td", kind.written(one.value), class_="wide"),
        tag("td", kind.written(one.baseline_value), class_="wide"),
        tag("td", kind.difference(difference.value), class_="open" if difference.holds_zero else None),
        tag("td", interval, class_="open" if difference.holds_zero else None),
        tag("td", _forest(study, one, reach), class_="left"),
        title=one.reading,
    )


def _forest(study: Study, one: Comparison, reach: float) -> Markup:
    """The interval as a bar, zero in the middle."""
    middle, scale = _WIDTH / 2, (_WIDTH / 2 - _MARGIN) / reach
    low, high, value = (
        middle + scale * end for end in (one.difference.low, one.difference.high, one.difference.value)
    )
    y = _HEIGHT // 2
    state = " open" if one.difference.holds_zero else ""
    return tag(
        "svg",
        tag("line", x1=f"{middle:.1f}", x2=f"{middle:.1f}", y1=0, y2=_HEIGHT, class_="zero"),
        tag("line", x1=f"{low:.1f}", x2=f"{high:.1f}", y1=y, y2=y, class_="interval"),
        tag("circle", cx=f"{value:.1f}", cy=y, r=4),
        viewBox=f"0 0 {_WIDTH} {_HEIGHT}",
        role="img",
        aria_label=one.reading,
        class_=f"forest {class_of(study, one.variant)}{state}",
    )
