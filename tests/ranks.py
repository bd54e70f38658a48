"""Runs a module of the tests as two ranks or more (gloo)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def run_two_ranks(module: str, *arguments: str | Path, seconds: float = 400) -> None:
    """``python -m MODULE ARGUMENTS`` twice, as one group; a rank that fails fails the test with its last words."""
    run_ranks(2, module, *arguments, seconds=seconds)


def run_ranks(world: int, module: str, *arguments: str | Path, seconds: float = 400) -> None:
    """The same for any number of ranks."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)]
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
