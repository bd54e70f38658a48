"""What each held-out example adds to each figure, as CSV: figures of two models can then be compared in pairs."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from omni.ablation.outcomes import COLUMNS
from omni.evaluation.metrics.tally import MetricName, Tally
from omni.evaluation.results import Example
from omni.evaluation.tasks import TASKS, Task

RATIOS: tuple[MetricName, ...] = ("share", "mean", "wer", "cer")
"""Metrics that are one sum over another; the states of the others are more than two numbers."""


class ExampleRow(NamedTuple):
    """One example in one figure, which is the sum of ``part`` over the sum of ``weight``."""

    figure: str
    key: str
    part: float
    weight: float


def tally_rows(tallies: Iterable[Tally], keys: Sequence[str]) -> list[ExampleRow]:
    """Of figures that are ratios of sums; ``keys`` are those of the examples by their numbers."""
    return [
        ExampleRow(tally.name, keys[number], float(state[0]), float(state[1]))
        for tally in tallies
        if tally.metric in RATIOS
        for number, state in zip(tally.numbers.tolist(), tally.states, strict=True)
    ]


def mark_rows(examples: Iterable[Example]) -> list[ExampleRow]:
    """Right or wrong to each judge; exact match is among the tallies."""
    names = {(task.source, f.judge): f.name for task in TASKS if isinstance(task, Task) for f in task.figures}
    return [
        ExampleRow(names.get((e.source, judge), f"{e.source}_judged"), e.key, float(right), 1.0)
        for e in examples
        for judge, right in e.right.items()
        if judge != "exact"
    ]


def write_examples(path: Path, rows: Iterable[ExampleRow]) -> None:
    """Write the CSV file; folders on the way are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
