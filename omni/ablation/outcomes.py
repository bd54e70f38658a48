"""What runs scored on each held-out example, read from the files of ``omni eval --examples``, and paired."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from omni.ablation.differences import Scores
from omni.modality import MODALITIES

Outcomes = Mapping[str, Mapping[str, tuple[float, float]]]
"""Figure, then key of the example: what it adds to the figure's sum and to its count."""
COLUMNS = ("figure", "key", "sum", "count")
POOLED = tuple(f"all_{modality.name}_loss" for modality in MODALITIES)
"""Losses over all sources."""


def read_outcomes(path: Path) -> Outcomes:
    """The outcomes of one run, and its losses over all sources.

    Raises:
        ValueError: no such file, or not one of ``omni eval --examples``.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; `omni eval --examples` writes it")
    found: dict[str, dict[str, tuple[float, float]]] = {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path}: expected the columns {', '.join(COLUMNS)}, got {reader.fieldnames}")
        for row in reader:
            found.setdefault(row["figure"], {})[row["key"]] = (float(row["sum"]), float(row["count"]))
    for name in POOLED:
        ending = name.removeprefix("all")
        parts = [scored for figure, scored in found.items() if figure.endswith(ending)]
        if pooled := {key: value for scored in parts for key, value in scored.items()}:
            found[name] = pooled
    return found


def shared_figures(runs: Iterable[Outcomes]) -> list[str]:
    """Figures that every run has, losses over all sources first."""
    each = [set(run) for run in runs]
    common = set.intersection(*each) if each else set()
    return sorted(common, key=lambda name: (name not in POOLED, name))


def paired_scores(
    figure: str, first: Sequence[Outcomes], second: Sequence[Outcomes]
) -> tuple[Scores, Scores]:
    """Scores of two variants, a run of each per seed in the same order, on the examples that all of them have.

    Losses of both are divided by the targets of the second: another layout of audio codes cuts the same clip into
    more targets, each of fewer nats, and only the nats of the whole clip compare.

    Raises:
        ValueError: no example is in all of them.
    """
    keys = set.intersection(*(set(run[figure]) for run in (*first, *second)))
    if not keys:
        raise ValueError(f"{figure}: the runs have no held-out example in common")
    order = sorted(keys)
    one, other = _scores(figure, first, order), _scores(figure, second, order)
    return (Scores(one.sums, other.counts) if figure.endswith("_loss") else one), other


def _scores(figure: str, runs: Sequence[Outcomes], order: Sequence[str]) -> Scores:
    values = np.array([[run[figure][key] for key in order] for run in runs])
    return Scores(values[..., 0], values[..., 1])
