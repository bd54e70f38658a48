"""What the runs of a study left, and the comparisons drawn from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from omni.ablation.budget import PlannedRun
from omni.ablation.differences import Difference, paired_difference
from omni.ablation.figures import kind_of
from omni.ablation.order import OrderCheck, WindowHash, check_order
from omni.ablation.outcomes import POOLED, Outcomes, paired_scores, shared_figures
from omni.ablation.scaling import PowerLaw, fit_power_law
from omni.ablation.sentences import reading
from omni.ablation.study import Study


@dataclass(frozen=True, eq=False)
class RunResult:
    """One run, however it ended."""

    planned: PlannedRun
    folder: Path
    state: str
    """``done``, ``failed``, ``stopped`` or ``new``."""
    error: str | None = None
    """Of a failed run: the command, and the end of what it said."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """By command."""
    peak_memory_gib: Mapping[str, float] = field(default_factory=dict)
    """Largest resident size, by command."""
    outcomes: Outcomes = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Of ``omni eval``."""
    tokens: float | None = None
    """Positions that the run's log counted."""
    order: Mapping[int, WindowHash] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the run."""
        return self.planned.run.name

    @property
    def variant(self) -> str:
        """Name of the variant."""
        return self.planned.run.variant.name

    @property
    def size(self) -> str:
        """Name of the size."""
        return self.planned.run.size.name

    @property
    def seed(self) -> int:
        """Seed of weights, order and noise."""
        return self.planned.run.seed

    @property
    def done(self) -> bool:
        """Whether it ended well."""
        return self.state == "done"

    @property
    def training_seconds(self) -> float:
        """Of all its ``omni fit``s."""
        return sum(seconds for name, seconds in self.seconds.items() if name.startswith("fit"))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One figure of one variant against the baseline, at one size."""

    size: str
    figure: str
    variant: str
    baseline: str
    value: float
    baseline_value: float
    difference: Difference
    reading: str


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A power law of one variant in one pooled loss."""

    variant: str
    figure: str
    points: tuple[tuple[float, float], ...]
    """FLOPs and loss of each run."""
    law: PowerLaw | None


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyResults:
    """Everything that the report shows but what is measured on the checkpoints."""

    study: Study
    runs: Sequence[RunResult]
    comparisons: Sequence[Comparison]
    orders: Mapping[str, OrderCheck]
    """By size and seed."""
    fits: Sequence[Fit]
    plan: Mapping[str, Any]
    """What the dry run says."""

    def of(self, variant: str, size: str | None = None) -> list[RunResult]:
        """The finished runs of a variant, of one size or of all."""
        return [r for r in self.runs if r.variant == variant and r.done and size in (None, r.size)]


def conclude(study: Study, runs: Sequence[RunResult], plan: Mapping[str, Any]) -> StudyResults:
    """Compare every variant with the baseline, check the order, fit scaling laws."""
    return StudyResults(
        study=study,
        runs=runs,
        comparisons=_comparisons(study, runs),
        orders=_orders(study, runs),
        fits=_fits(study, runs),
        plan=plan,
    )


def _comparisons(study: Study, runs: Sequence[RunResult]) -> list[Comparison]:
    """Of the seeds with which both variants ended well, on all figures that they share."""
    found = []
    for size in study.sizes:
        by_variant = {
            variant.name: {
                r.seed: r for r in runs if r.done and r.variant == variant.name and r.size == size.name
            }
            for variant in study.variants
        }
        base = by_variant[study.baseline]
        for name, own in by_variant.items():
            seeds = [seed for seed in study.seeds if seed in own and seed in base]
            if name == study.baseline or not seeds:
                continue
            first, second = [own[seed].outcomes for seed in seeds], [base[seed].outcomes for seed in seeds]
            for figure in shared_figures([*first, *second]):
                found.append(_comparison(study, size.name, figure, name, first, second))
    return found


def _comparison(
    study: Study, size: str, figure: str, name: str, first: list[Outcomes], second: list[Outcomes]
) -> Comparison:
    scores, base = paired_scores(figure, first, second)
    difference = paired_difference(scores, base, study.measure.resamples)
    if kind_of(figure).unit == "share":  # a wide interval of few seeds may reach further than shares can
        difference = replace(difference, low=max(-1.0, difference.low), high=min(1.0, difference.high))
    return Comparison(
        size=size,
        figure=figure,
        variant=name,
        baseline=study.baseline,
        value=scores.value,
        baseline_value=base.value,
        difference=difference,
        reading=reading(figure, name, study.baseline, difference),
    )


def _orders(study: Study, runs: Sequence[RunResult]) -> dict[str, OrderCheck]:
    """Of all variants of one model at each size and seed; a variant of several models trains each on its own part."""
    found = {}
    for size in study.sizes:
        for seed in study.seeds:
            ones = [r for r in runs if r.seed == seed and r.size == size.name and r.done]
            logged = {r.name: r.order for r in ones if not r.planned.run.variant.stages}
            if len(logged) > 1:
                found["-".join([*([size.name] if size.name else []), f"seed{seed}"])] = check_order(logged)
    return found


def _fits(study: Study, runs: Sequence[RunResult]) -> list[Fit]:
    found = []
    for variant in study.variants if len(study.sizes) > 1 else ():
        for figure in POOLED:
            ones = [r for r in runs if r.variant == variant.name and r.done and figure in r.outcomes]
            points = tuple((r.planned.flops, _mean(r.outcomes[figure])) for r in ones)
            if points:
                law = fit_power_law([x for x, _ in points], [y for _, y in points])
                found.append(Fit(variant=variant.name, figure=figure, points=points, law=law))
    return found


def _mean(scored: Mapping[str, tuple[float, float]]) -> float:
    sums, counts = zip(*scored.values(), strict=True)
    return sum(sums) / sum(counts)
