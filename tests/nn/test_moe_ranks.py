"""The router's balance over two ranks (gloo)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch

from tests.nn.moe_layer import GROUPS
from tests.nn.rank import balanced


def test_two_ranks_balance_as_one(tmp_path: Path) -> None:
    """By the load of both together, group by group, although one of them never sees a picture or a clip."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "-m", "tests.nn.rank", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    first, second = (torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1))
    for mode in GROUPS:
        expected = balanced(mode, [0, 1])
        assert first[mode].equal(expected)
        assert second[mode].equal(expected)
        assert not balanced(mode, [0]).equal(expected), "one rank's load alone says something else"
