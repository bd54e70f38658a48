"""The parts of the report that were measured on the checkpoints: costs, use of experts, samples."""

from __future__ import annotations

from omni.ablation.study import Study
from omni.cli.ablate.checkpoint_stage import Measured
from omni.cli.ablate.costs import Cost, Latency
from omni.cli.ablate.report.look import class_of, name_tag
from omni.cli.demo.report.examples import answer_view, segment_view, state, verdict_line
from omni.cli.demo.report.markup import Markup, join, tag
from omni.cli.demo.report.training import load_maps
from omni.evaluation.results import Example


def cost_tables(study: Study, measured: Measured) -> Markup:
    """Training and answers, measured in alternation; bars of latency."""
    missing = [
        tag("p", f"{name}: not measured: {why}.", class_="note") for name, why in measured.missing.items()
    ]
    if not measured.costs:
        return join(tag("p", "Nothing could be measured.", class_="note"), *missing)
    note = (
        "Measured in one process, every variant in turn in each round, so that other work on the machine slows all of "
        "them alike; medians of the rounds. A training step is a forward and backward pass over the same documents."
    )
    return join(
        tag("p", note, class_="note"),
        *missing,
        _training_table(study, measured),
        *_latency_bars(study, measured),
    )


def _training_table(study: Study, measured: Measured) -> Markup:
    names = ("variant", "positions an example", "training documents/s", "positions/s")
    head = tag("tr", *(tag("th", name, scope="col") for name in names))
    rows = [
        tag(
            "tr",
            tag("th", name_tag(study, name), scope="row"),
            tag("td", f"{_mean_positions(cost):.1f}"),
            tag("td", f"{cost.documents_per_second:,.0f}"),
            tag("td", f"{cost.positions_per_second:,.0f}"),
        )
        for name, cost in measured.costs.items()
        if cost.documents_per_second is not None and cost.positions_per_second is not None
    ]
    return tag(
        "div", tag("table", tag("thead", head), tag("tbody", *rows), class_="figures"), class_="scroll"
    )


def _mean_positions(cost: Cost) -> float:
    """Mean over sources."""
    values = cost.positions_per_example.values()
    return sum(values) / len(values)


def _latency_bars(study: Study, measured: Measured) -> list[Markup]:
    """A card per kind of prompt: dark until the first piece of the answer, light until it is complete."""
    kinds = list(dict.fromkeys(kind for cost in measured.costs.values() for kind in cost.latency))
    if not kinds:
        return []
    cards = []
    for kind in kinds:
        own = {name: cost.latency[kind] for name, cost in measured.costs.items() if kind in cost.latency}
        longest = max(latency.whole for latency in own.values())
        bars: list[Markup] = []
        for name, latency in own.items():
            whole, first = 100 * latency.whole / longest, 100 * latency.first / longest
            bars += [
                tag("span", name_tag(study, name)),
                tag(
                    "span",
                    tag("i", style=f"width:{whole:.1f}%"),
                    tag("i", style=f"width:{first:.1f}%", class_="first"),
                    class_=f"bar {class_of(study, name)}",
                ),
                tag("span", f"{1000 * latency.first:.0f} / {1000 * latency.whole:.0f} ms", class_="number"),
            ]
        stages = [_stages(name, latency) for name, latency in own.items() if latency.stages]
        cards.append(tag("div", tag("h4", kind), tag("div", *bars, class_="bars"), *stages, class_="card"))
    note = (
        "Answers alone, one at a time: until the first piece that could be shown or played (dark), and until the "
        "answer is complete (light). Answers end where the model ends them, so a model that says more takes longer."
    )
    return [tag("h3", "Latency"), tag("p", note, class_="note"), tag("div", *cards, class_="cards wide")]


def _stages(name: str, latency: Latency) -> Markup:
    """What a cascade's answer goes to."""
    parts = ", ".join(f"{stage} {1000 * seconds:.0f} ms" for stage, seconds in latency.stages)
    return tag("p", f"{name}: {parts}", class_="note")


def specialisation(study: Study, measured: Measured) -> Markup:
    """Which experts each modality uses, variant by variant."""
    if not measured.loads:
        return tag("p", "No variant has more than one expert.", class_="note")
    parts = [join(tag("h3", name_tag(study, name)), load_maps(load)) for name, load in measured.loads.items()]
    return join(*parts)


def side_by_side(study: Study, measured: Measured) -> Markup:
    """The first held-out examples of each task, answered by every variant."""
    if not measured.samples:
        return tag("p", "No samples.", class_="note")
    note = "The first held-out examples of each task, not picked, answered by the first seed's model of each variant."
    parts = [tag("p", note, class_="note")]
    seen: set[str] = set()
    for number, question in enumerate(next(iter(measured.samples.values()))):
        if question.source not in seen:
            seen.add(question.source)
            parts.append(tag("h3", question.source.replace("_", " ")))
        asked = tag(
            "div", *(segment_view(s, f"given: {s.modality.name}") for s in question.prompt), class_="asked"
        )
        cards = [_card(study, name, examples[number]) for name, examples in measured.samples.items()]
        parts.append(tag("div", asked, *cards, class_="side"))
    return join(*parts)


def _card(study: Study, name: str, example: Example) -> Markup:
    answered = tag("div", tag("span", "→", class_="arrow"), answer_view(example), class_="answered")
    return tag(
        "div",
        tag("h5", name_tag(study, name)),
        answered,
        verdict_line(example),
        class_=f"card {state(example)} {class_of(study, name)}",
    )
