"""Reads what the runs of a study left in their folders."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from omni.ablation.budget import PlannedRun
from omni.ablation.order import read_order
from omni.ablation.outcomes import read_outcomes
from omni.ablation.results import RunResult
from omni.cli.ablate.runner import read_status
from omni.cli.demo.report.losses import Curve, Curves, curves_of


def read_run(planned: PlannedRun, folder: Path) -> RunResult:
    """The result of a run, whatever it is."""
    status = read_status(folder)
    common: dict[str, Any] = {
        "planned": planned,
        "folder": folder,
        "seconds": status["seconds"],
        "peak_memory_gib": status["peak_memory_gib"],
        "order": read_order(folder / "order.csv"),
        "tokens": _tokens(planned, folder),
    }
    if status["state"] != "done":
        return RunResult(state=status["state"], error=status.get("error"), **common)
    metrics: Mapping[str, float] = json.loads((folder / "eval.json").read_text())["metrics"]
    return RunResult(state="done", outcomes=read_outcomes(folder / "examples.csv"), metrics=metrics, **common)


def logged_rows(folder: Path) -> list[dict[str, str]]:
    """Lines of all logs of a run, which has several where it was resumed; a step that was done again counts once."""
    rows: dict[tuple[int, bool], dict[str, str]] = {}
    versions = sorted(
        (folder / "logs").glob("version_*/metrics.csv"), key=lambda path: _number(path.parent.name)
    )
    for path in versions:
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                if row.get("step"):
                    filled = {name: value for name, value in row.items() if value}
                    at = (int(row["step"]), any(name.startswith("val/") for name in filled))
                    rows[at] = rows.get(at, {}) | filled
    return [rows[at] for at in sorted(rows)]


def read_curves(result: RunResult) -> Curves:
    """The losses of a run over its steps; empty where nothing was logged, or where it is made of several models."""
    return {} if result.planned.run.variant.stages else curves_of(logged_rows(result.folder))


def over_flops(curve: Curve, result: RunResult) -> Curve:
    """The curve over training FLOPs instead of steps."""
    return Curve(curve.steps.astype(np.float64) * result.planned.flops / result.planned.steps, curve.values)


def _tokens(planned: PlannedRun, folder: Path) -> float | None:
    """Positions of the whole run, from the last count in the logs."""
    total = 0.0
    for one in planned.parts:
        own = folder / "stages" / one.part.name if one.part.name else folder
        counted = [
            (int(row["step"]) + 1, sum(float(row[name]) for name in names))
            for row in logged_rows(own)
            if (names := [n for n in row if n.startswith("data/") and n.endswith("/positions")])
        ]
        if not counted:
            return None
        steps, positions = counted[-1]
        total += positions * one.steps / steps
    return total


def _number(name: str) -> int:
    return int(name.rpartition("_")[2])
