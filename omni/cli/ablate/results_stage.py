"""The end of a study: what the runs left is compared, measured and written."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from omni.ablation.budget import PlannedRun, spreads
from omni.ablation.outcomes import POOLED
from omni.ablation.results import Comparison, RunResult, StudyResults, conclude
from omni.ablation.study import Study
from omni.cli.ablate.checkpoint_stage import Measured, measure_checkpoints
from omni.cli.ablate.data_stage import Places
from omni.cli.ablate.gather import read_run
from omni.cli.ablate.planning import plan_json
from omni.cli.ablate.report.page import write_report
from omni.cli.json_file import write_json

RESULTS_FILE, RUNS_FILE, DIFFERENCES_FILE = "study.json", "runs.csv", "differences.csv"


def write_results(
    args: argparse.Namespace,
    study: Study,
    planned: Sequence[PlannedRun],
    places: Places,
    out: Path,
    console: Console,
) -> None:
    """Write ``study.html``, ``study.json``, ``runs.csv`` and ``differences.csv``, and print what they say.

    Raises:
        ValueError: no run has ended well; the message has the first one's error.
    """
    runs = [read_run(one, out / "runs" / one.run.name) for one in planned]
    tolerance = study.budget.tolerance if args.tolerance is None else args.tolerance
    plan = plan_json(study, planned, spreads(study, planned), tolerance, None)
    results = conclude(study, runs, plan)
    failed = [run for run in runs if not run.done]
    for run in failed:
        console.print(f"{run.name}: {run.state}{_why(run)}", markup=False)
    if len(failed) == len(runs):
        raise ValueError(f"{out}: no run has ended well{_why(failed[0])}")
    console.print("Measuring costs, experts and samples, all variants in turn")
    measured = measure_checkpoints(results, places)
    figures = results_json(results, measured)
    (out / RESULTS_FILE).write_text(json.dumps(figures, indent=1) + "\n")
    _write_csv(out / RUNS_FILE, figures["runs"])
    _write_csv(out / DIFFERENCES_FILE, figures["differences"])
    write_json(args.json, figures)
    report = write_report(out, results, measured)
    for check in results.orders.values():
        console.print(str(check))
    for comparison in results.comparisons:
        if comparison.figure in POOLED:
            console.print(comparison.reading, highlight=False, markup=False)
    console.print(f"[bold]Report: {report}[/bold]")


def results_json(results: StudyResults, measured: Measured) -> dict[str, Any]:
    """What ``study.json`` holds."""
    return {
        "study": results.study.name,
        "question": results.study.question,
        "baseline": results.study.baseline,
        "plan": {name: value for name, value in results.plan.items() if name != "runs"},
        "runs": [
            _run_json(run, planned) for run, planned in zip(results.runs, results.plan["runs"], strict=True)
        ],
        "differences": [_difference_json(comparison) for comparison in results.comparisons],
        "order": {name: asdict(check) | {"said": str(check)} for name, check in results.orders.items()},
        "scaling": [asdict(fit) for fit in results.fits],
        "costs": {name: asdict(cost) for name, cost in measured.costs.items()},
        "router_load": {name: load.tolist() for name, load in measured.loads.items()},
        "not_measured": dict(measured.missing),
    }


def _run_json(run: RunResult, planned: dict[str, Any]) -> dict[str, Any]:
    return {
        **{name: value for name, value in planned.items() if name not in ("seconds", "stages")},
        "state": run.state,
        "error": run.error,
        "tokens_logged": None if run.tokens is None else round(run.tokens),
        "training_seconds": round(run.training_seconds, 1),
        "peak_memory_gib": max(run.peak_memory_gib.values(), default=None),
        **{name: _pooled(run, name) for name in POOLED},
    }


def _pooled(run: RunResult, figure: str) -> float | None:
    scored = run.outcomes.get(figure)
    return None if not scored else sum(s for s, _ in scored.values()) / sum(c for _, c in scored.values())


def _difference_json(one: Comparison) -> dict[str, Any]:
    difference = one.difference
    return {
        "size": one.size,
        "figure": one.figure,
        "variant": one.variant,
        "baseline": one.baseline,
        "value": one.value,
        "baseline_value": one.baseline_value,
        "difference": difference.value,
        "low": difference.low,
        "high": difference.high,
        "holds_zero": difference.holds_zero,
        "seeds": difference.seeds,
        "examples": difference.examples,
        "by_seed": list(difference.by_seed),
        "reading": one.reading,
    }


def _write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)))
        writer.writeheader()
        writer.writerows(rows)


def _why(run: RunResult) -> str:
    return f"\n{run.error}" if run.error else ""
