"""The plan of a study: as a table, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from omni.ablation.budget import PlannedRun, Spread
from omni.ablation.study import Study
from omni.planning.family import scaled


def predicted_seconds(study: Study, run: PlannedRun, rate: float | None) -> float | None:
    """Of a run: its FLOPs at ``rate`` a second, and the machine's overhead; none without a rate."""
    return None if rate is None else run.flops / rate + study.machine.overhead


def plan_json(
    study: Study, runs: Sequence[PlannedRun], found: Sequence[Spread], tolerance: float, rate: float | None
) -> dict[str, Any]:
    """What ``--json`` writes of a plan."""
    return {
        "study": study.name,
        "match": study.budget.match,
        "tolerance": tolerance,
        "flops_per_second": rate,
        "spreads": [
            {
                "size": spread.size,
                "figure": spread.figure,
                "smallest": spread.smallest,
                "largest": spread.largest,
                "share": spread.share,
            }
            for spread in found
        ],
        "runs": [run_json(study, run, rate) for run in runs],
    }


def run_json(study: Study, run: PlannedRun, rate: float | None) -> dict[str, Any]:
    """One run of the plan."""
    figures: dict[str, Any] = {
        "name": run.run.name,
        "variant": run.run.variant.name,
        "size": run.run.size.name,
        "seed": run.run.seed,
        "steps": run.steps,
        "tokens": round(run.tokens),
        "flops": run.flops,
        "parameters": run.parameters,
        "active_parameters": run.active,
        "seconds": predicted_seconds(study, run, rate),
    }
    if run.run.variant.stages:
        figures["stages"] = [
            {"name": one.part.name, "steps": one.steps, "tokens": round(one.tokens), "flops": one.flops}
            for one in run.parts
        ]
    return figures


def print_plan(
    study: Study, runs: Sequence[PlannedRun], found: Sequence[Spread], rate: float | None, console: Console
) -> None:
    """The table of runs, one line for all seeds of a variant at a size, and what it comes to."""
    table = Table(title=f"{study.name}: {len(runs)} runs", title_justify="left")
    for name in ("variant", "size", "seeds", "params", "active", "steps", "tokens", "FLOPs", "min"):
        table.add_column(name, justify="left" if name in ("variant", "size") else "right")
    groups: dict[tuple[str, str], list[PlannedRun]] = {}
    for run in runs:
        groups.setdefault((run.run.size.name, run.run.variant.name), []).append(run)
    for (size, variant), ones in groups.items():
        first = ones[0]
        seconds = predicted_seconds(study, first, rate)
        table.add_row(
            variant,
            size,
            str(len(ones)),
            scaled(first.parameters),
            scaled(first.active),
            f"{first.steps:,}",
            scaled(first.tokens),
            f"{first.flops:.2e}",
            "" if seconds is None else f"{seconds / 60:.1f}",
        )
    console.print(table)
    for spread in found:
        size = f" at size {spread.size}" if spread.size else ""
        console.print(f"Apart in {spread.figure}{size}: {spread.share:.2%}")
    if rate is None:
        console.print(
            "No time is predicted: machine.flops_per_second is not given, and no run has ended yet."
        )
    else:
        seconds_of_all = sum(predicted_seconds(study, run, rate) or 0.0 for run in runs)
        console.print(
            f"All runs one after another: about {seconds_of_all / 60:.0f} minutes.", highlight=False
        )
