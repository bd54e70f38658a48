"""The same seed gives the same demo: corpus, training and evaluation, in two processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.demo_run import SCALE, STEPS, omni

OF_THE_MACHINE = {"seconds", "peak_memory_gib"}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_same_seed_gives_the_same_figures(tmp_path: Path) -> None:
    """To the last digit, those of the losses among them, as long as the number of threads is the same."""
    figures: list[dict[str, Any]] = []
    losses: list[str] = []
    for name in ("one", "other"):
        out = tmp_path / name
        settings = ("--scale", str(SCALE), "--steps", str(STEPS), "--seed", "3", "--out", str(out))
        done = omni("demo", *settings)
        assert done.returncode == 0, done.stderr[-4000:]
        metrics = json.loads((out / "metrics.json").read_text())
        assert metrics.keys() >= OF_THE_MACHINE
        figures.append({key: value for key, value in metrics.items() if key not in OF_THE_MACHINE})
        losses.append(losses_of(out))
    assert figures[0] == figures[1]
    assert losses[0] == losses[1] and "train/image" in losses[0]


def losses_of(out: Path) -> str:
    """The logged columns but for those that measure the machine."""
    rows = [line.split(",") for line in (out / "logs" / "version_0" / "metrics.csv").read_text().splitlines()]
    kept = [number for number, name in enumerate(rows[0]) if not name.startswith("throughput/")]
    return "\n".join(",".join(row[number] for number in kept) for row in rows)
