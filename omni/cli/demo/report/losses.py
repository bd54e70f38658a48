"""Loss curves as Lightning's CSVLogger writes them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from omni.modality import MODALITIES

Stage = Literal["train", "val"]
STAGES: tuple[Stage, ...] = ("train", "val")
UNITS = {"text": "nats per token", "image": "squared error per patch value", "audio": "nats per frame"}
"""What each loss is measured in, by modality."""

_SMOOTHING_SHARE = 0.02  # of a curve's points, in the standard deviation of the smoothing window


@dataclass(frozen=True, eq=False)
class Curve:
    """One loss over the optimizer steps (or what else is counted) at which it was logged."""

    steps: Int[np.ndarray, " points"] | Float[np.ndarray, " points"]
    values: Float[np.ndarray, " points"]

    def smoothed(self) -> Float[np.ndarray, " points"]:
        """The values averaged over their neighbours with a Gaussian window."""
        places = np.arange(len(self.values))
        width = max(0.5, _SMOOTHING_SHARE * len(places))
        weights = np.exp(-0.5 * ((places[:, None] - places) / width) ** 2)
        return (weights @ self.values) / weights.sum(axis=1)


Curves = dict[tuple[Stage, str], Curve]
"""Curves by stage and name of the modality."""


def read_losses(path: Path) -> Curves:
    """The curves of a ``metrics.csv``; a loss that was never logged is left out.

    Raises:
        ValueError: there is no such file, or it has no losses.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no loss curves here; Lightning's CSVLogger writes them while it trains")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    if not (curves := curves_of(rows)):
        found = list(rows[0]) if rows else []
        raise ValueError(f"{path}: no losses, expected columns such as 'train/text', got {found}")
    return curves


def curves_of(rows: Iterable[Mapping[str, str]]) -> Curves:
    """The curves in the lines of such a file."""
    rows = list(rows)
    curves: Curves = {}
    for stage in STAGES:
        for modality in MODALITIES:
            points = [(row["step"], value) for row in rows if (value := row.get(f"{stage}/{modality.name}"))]
            if points:
                steps, values = zip(*points, strict=True)
                curves[stage, modality.name] = Curve(np.array(steps, int), np.array(values, float))
    return curves
