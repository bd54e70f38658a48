"""Matched budgets: how many steps each run takes, and what it then costs. FLOPs are counted from config and data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from omni.ablation.census import Census
from omni.ablation.expand import Part, Run
from omni.ablation.study import Budget, Study
from omni.nn.config import ModelConfig, Vocabulary
from omni.planning.flops import flops_of
from omni.planning.parameters import count_parameters


@dataclass(frozen=True)
class Sized:
    """What a part's config and data say about its cost."""

    config: ModelConfig
    vocabulary: Vocabulary
    census: Census
    row_length: int
    rows: int
    """Of an optimizer step."""

    @property
    def tokens_per_step(self) -> float:
        """Positions of a step that hold something."""
        return self.rows * self.row_length * self.census.fill

    @property
    def flops_per_token(self) -> float:
        """Training FLOPs of a position of the mean composition."""
        return flops_of(
            self.config, self.vocabulary, self.census.workload(self.row_length, self.rows)
        ).training

    @property
    def flops_per_step(self) -> float:
        """Training FLOPs of an optimizer step; padding costs nothing here."""
        return self.flops_per_token * self.tokens_per_step


@dataclass(frozen=True)
class PlannedPart:
    """One ``omni fit`` with its budget."""

    part: Part
    steps: int
    tokens: float
    flops: float
    flops_per_token: float
    parameters: int
    active: int


@dataclass(frozen=True)
class PlannedRun:
    """A run with its budget: sums over its parts."""

    run: Run
    parts: tuple[PlannedPart, ...]

    @property
    def steps(self) -> int:
        """Optimizer steps."""
        return sum(part.steps for part in self.parts)

    @property
    def tokens(self) -> float:
        """Positions that are trained on."""
        return sum(part.tokens for part in self.parts)

    @property
    def flops(self) -> float:
        """Training FLOPs."""
        return sum(part.flops for part in self.parts)

    @property
    def parameters(self) -> int:
        """Of all models."""
        return sum(part.parameters for part in self.parts)

    @property
    def active(self) -> int:
        """Parameters that a position uses, of all models."""
        return sum(part.active for part in self.parts)


@dataclass(frozen=True)
class Spread:
    """How far the runs of one size are apart in what the study matches."""

    size: str
    figure: str
    smallest: float
    largest: float
    runs: tuple[str, str]
    """Of the smallest and of the largest."""

    @property
    def share(self) -> float:
        """Largest over smallest, less 1."""
        return self.largest / self.smallest - 1


Sizing = Callable[[Part], Sized]


def plan_runs(study: Study, runs: Sequence[Run], sizing: Sizing) -> list[PlannedRun]:
    """Give every run the steps that its budget pays for.

    A part whose variant sets ``trainer.max_steps`` keeps them: its budget is then what that costs.
    """
    known: dict[tuple[str, str], tuple[PlannedPart, ...]] = {}
    for run in runs:
        key = (run.size.name, run.variant.name)
        if key not in known:
            amount = _amount(study, runs, run, sizing)
            known[key] = tuple(_planned(part, run, amount, sizing(part), study.budget) for part in run.parts)
    return [PlannedRun(run, known[run.size.name, run.variant.name]) for run in runs]


def _amount(study: Study, runs: Sequence[Run], run: Run, sizing: Sizing) -> float:
    """FLOPs or tokens that a run of this size has."""
    budget, steps = study.budget, run.size.steps or study.budget.steps
    if steps is None:
        amount = budget.flops if budget.flops is not None else budget.tokens
        assert amount is not None, f"{study.source}: no amount in {budget}"
        if budget.match == "flops" and budget.tokens is not None:
            return amount * _of_baseline(study, runs, run, lambda sized: sized.flops_per_token, sizing)
        return amount
    if budget.match == "flops":
        return steps * _of_baseline(study, runs, run, lambda sized: sized.flops_per_step, sizing)
    return steps * _of_baseline(study, runs, run, lambda sized: sized.tokens_per_step, sizing)


def _of_baseline(
    study: Study, runs: Sequence[Run], run: Run, figure: Callable[[Sized], float], sizing: Sizing
) -> float:
    """A figure of the baseline at this size; of one of several parts, the mean by their shares."""
    for one in runs:
        if one.variant.name == study.baseline and one.size == run.size:
            return sum(part.share * figure(sizing(part)) for part in one.parts)
    raise AssertionError(f"no run of {study.baseline} at size {run.size.name!r}")


def _planned(part: Part, run: Run, amount: float, sized: Sized, budget: Budget) -> PlannedPart:
    own = explicit_steps(run, part)
    per_step = sized.flops_per_step if budget.match == "flops" else sized.tokens_per_step
    steps = own or max(1, round(part.share * amount / per_step))
    parameters = count_parameters(sized.config, sized.vocabulary)
    return PlannedPart(
        part=part,
        steps=steps,
        tokens=steps * sized.tokens_per_step,
        flops=steps * sized.flops_per_step,
        flops_per_token=sized.flops_per_token,
        parameters=parameters.total,
        active=parameters.active,
    )


def explicit_steps(run: Run, part: Part) -> int | None:
    """``trainer.max_steps``, where the variant or one of its stages sets it."""
    stages = [stage.set for stage in run.variant.stages if stage.name == part.name]
    given: Mapping[str, Any] = {**run.size.set, **run.variant.set, **(stages[0] if stages else {})}
    return given.get("trainer.max_steps")


def spreads(study: Study, planned: Sequence[PlannedRun]) -> list[Spread]:
    """By size, how far the matched figures are apart."""
    figures: dict[str, Callable[[PlannedRun], float]] = {"training FLOPs": lambda run: run.flops}
    if study.budget.match != "flops":
        figures = {"tokens": lambda run: run.tokens}
    if study.budget.match == "active_parameters":
        figures["active parameters"] = lambda run: float(run.active)
    found = []
    for size in study.sizes:
        of_size = [run for run in planned if run.run.size == size]
        for name, figure in figures.items():
            low, high = min(of_size, key=figure), max(of_size, key=figure)
            runs = (low.run.variant.name, high.run.variant.name)
            found.append(Spread(size.name, name, figure(low), figure(high), runs))
    return found


def check_spreads(study: Study, found: Sequence[Spread], tolerance: float) -> None:
    """
    Raises:
        ValueError: budgets are further apart than ``tolerance``; the message says which, how far, and what to do.
    """
    for spread in found:
        if spread.share > tolerance:
            size = f" at size {spread.size}" if spread.size else ""
            raise ValueError(
                f"{study.source}: {spread.figure}{size} differ by {spread.share:.1%}: {spread.runs[0]} has "
                f"{spread.smallest:.4g}, {spread.runs[1]} {spread.largest:.4g}, allowed are {tolerance:.1%}. Make the "
                f"variants alike, give more steps (whole steps round), or allow it with --tolerance or budget.tolerance"
            )
