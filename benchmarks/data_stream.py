"""What else is told of our stream in ``benchmarks.data``: how full rows are, first batch, state, resuming."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.data_cpu import cpu_seconds
from benchmarks.data_made import Batch
from benchmarks.data_ours import Ours
from benchmarks.plan import CONFIG, SOURCES, plan_windows, write_table

MADE_UP = 1_000_000
"""Documents of the index of four sources on which rows are packed."""
WINDOWS = 8


def stream_figures(ours: Ours, folder: Path) -> dict[str, Any]:
    """Figures of our stream; seconds are of the clock, or of CPU where the name says so.

    Args:
        ours: the stream.
        folder: where the made-up index is written.
    """
    folder.mkdir()
    for name, (share, mean) in SOURCES.items():
        write_table(folder / name, round(share * MADE_UP), mean)
    planned = plan_windows(folder, WINDOWS)[0]
    first, _ = _first_batch(Ours(ours.folder, ours.workers, ours.kind))
    loader = ours.loader(workers=0)
    half = len(loader) // 2
    for _ in islice(loader, half):
        pass
    state = loader.state_dict()
    resumed, _ = _first_batch(Ours(ours.folder, ours.workers, ours.kind), state)
    return {
        f"fill_at_{CONFIG.row_length}": planned["fill"],
        "us_cpu_to_plan_a_document": planned["us_cpu_per_document"],
        "first_batch": first,
        "state_bytes": len(json.dumps(state)),
        "resume": resumed,
    }


def _first_batch(ours: Ours, state: dict[str, Any] | None = None) -> tuple[dict[str, float], Batch]:
    """Time from opening the indexes to the first batch, behind ``state`` if it is given."""
    clock, cpu = time.perf_counter(), cpu_seconds()
    loader = ours.loader()
    if state is not None:
        loader.load_state_dict(state)
    batches: Iterator[Batch] = iter(loader)
    batch = next(batches)
    return {"seconds": time.perf_counter() - clock, "seconds_cpu": cpu_seconds() - cpu}, batch
