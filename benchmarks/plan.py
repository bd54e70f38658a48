"""What the plan costs on a large index: time a document, memory, time to the first step and to resume.

Command:  python -m benchmarks.plan [--documents 100000000] [--windows 100] [--json FILE]
Time:     about a minute, most of it to write the made-up index (1 GB for 100 million documents)
Result:   targets: at most 5 us a document, 2 GB, 10 s to the first step, 1 s to resume; rows 99 % full
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from omni.datamodules.stream.plan import Plan
from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.state import PlanState
from omni.datamodules.stream.table import BLOCK, Table
from omni.datamodules.stream.weights import MixtureConfig

SOURCES = {"web": (0.7, 500), "captions": (0.2, 150), "interleaved": (0.09, 1500), "books": (0.01, 3000)}
"""Share of the documents and mean length of each source; lengths are log-normal with sigma 1."""
CONFIG = PlanConfig(row_length=8192, global_rows=256, mixture=MixtureConfig(temperature=2.0))


def main() -> None:
    """Make an index, plan on it, print and write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--documents", type=int, default=100_000_000, help="of the made-up index")
    parser.add_argument("--windows", type=int, default=100, help="how many windows are planned and timed")
    parser.add_argument("--json", type=Path, help="where the figures go")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made = time.perf_counter()
        for name, (share, mean) in SOURCES.items():
            write_table(Path(folder) / name, max(1, round(share * args.documents)), mean)
        made = time.perf_counter() - made
        figures = measure(Path(folder), args.windows) | {
            "documents_in_index": args.documents,
            "seconds_to_make_index": round(made, 1),
        }
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


def write_table(folder: Path, documents: int, mean: int) -> None:
    """Lengths as int32 and targets as uint16, to be mapped into memory; written block by block."""
    folder.mkdir()
    random = np.random.default_rng(mean)
    with (folder / "lengths").open("wb") as lengths_file, (folder / "targets").open("wb") as targets_file:
        for start in range(0, documents, BLOCK):
            count = min(BLOCK, documents - start)
            lengths = (8 + random.lognormal(np.log(mean) - 0.5, 1.0, count)).astype(np.int32)
            lengths.tofile(lengths_file)
            targets = np.stack([lengths // 2, lengths // 4, lengths // 8], axis=1)
            np.minimum(targets, np.iinfo(np.uint16).max).astype(np.uint16).tofile(targets_file)


def open_plan(folder: Path) -> Plan:
    """The plan over the tables of a folder."""
    tables = {}
    for name in SOURCES:
        lengths = np.memmap(folder / name / "lengths", np.int32, "r")
        targets = np.memmap(folder / name / "targets", np.uint16, "r").reshape(-1, 3)
        tables[name] = Table(lengths, targets, fingerprint=f"made up: {name}, {len(lengths)} documents")
    return Plan(tables, CONFIG)


def measure(folder: Path, windows: int) -> dict[str, float | int]:
    """Times in seconds of the clock, or of this process's CPU where the name says so; memory in MB."""
    figures, states = plan_windows(folder, windows)
    clock = [time_to_resume(folder, state, time.perf_counter) for state in states]
    cpu = [time_to_resume(folder, state, time.process_time) for state in states]
    return figures | {
        "seconds_to_resume": round(max(clock), 2),
        "seconds_cpu_to_resume": round(max(cpu), 2),
    }


def plan_windows(folder: Path, windows: int) -> tuple[dict[str, float | int], list[PlanState]]:
    """Figures of planning so many windows, and states to resume from."""
    clock = time.perf_counter()
    plan = open_plan(folder)
    state = plan.start()
    found = plan.step(state)
    first = time.perf_counter() - clock
    cpu, clock = time.process_time(), time.perf_counter()
    documents = positions = steps = 0
    while found is not None and state.window < windows:
        step, state = found
        documents += sum(map(len, step.rows))
        positions += step.positions
        steps += 1
        found = plan.step(state)
    cpu, clock = time.process_time() - cpu, time.perf_counter() - clock
    figures = {
        "windows": state.window,
        "documents_planned": documents,
        "us_cpu_per_document": round(cpu / documents * 1e6, 2),
        "us_wall_per_document": round(clock / documents * 1e6, 2),
        "fill": round(positions / (steps * CONFIG.global_rows * CONFIG.row_length), 4),
        "seconds_to_first_step": round(first, 2),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "of_which_pages_of_the_index_mb": memory("RssFile"),
        "of_which_own_mb": memory("RssAnon"),
    }
    return figures, [state, *far_states(plan, state)]


def far_states(plan: Plan, state: PlanState) -> list[PlanState]:
    """States in the middle and near the end of the sources' third epoch."""
    return [
        PlanState(
            step,
            step,
            0,
            0,
            tuple(
                counters._replace(epoch=2, chunk=int(share * (source.chunks - 1)))
                for source, counters in zip(plan.sources, state.counters, strict=True)
            ),
        )
        for step, share in ((10**5, 0.5), (10**6, 0.99))
    ]


def time_to_resume(folder: Path, state: PlanState, clock: Callable[[], float]) -> float:
    """Seconds from opening the tables to the step behind ``state``."""
    start = clock()
    assert open_plan(folder).step(state) is not None
    return clock() - start


def memory(field: str) -> int:
    """A field of this process's status, in MB; 0 where the system has no such file."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.is_file() else []
    return next((int(line.split()[1]) // 1024 for line in lines if line.startswith(field)), 0)


if __name__ == "__main__":
    main()
