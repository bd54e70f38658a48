"""Runs a module of the tests as several ranks (gloo)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_two_ranks(module: str, *arguments: str | Path, seconds: float = 400) -> None:
    """``run_ranks`` with two."""
    run_ranks(2, module, *arguments, seconds=seconds)


def run_ranks(ranks: int, module: str, *arguments: str | Path, seconds: float = 400) -> None:
    """``python -m MODULE ARGUMENTS`` so many times, as one group; a rank that fails fails the test."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(ranks)]
    done = subprocess.run(
        [*command, "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
