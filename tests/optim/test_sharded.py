"""Muon and AdamW on a model that is sharded over two ranks (FSDP2, gloo)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path


def test_two_ranks_step_as_one_and_resume(tmp_path: Path) -> None:
    """Each rank orthogonalises its half of the experts and holds their momentum alone."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, "-m", "tests.optim.rank", str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    for rank in (0, 1):
        found = json.loads((tmp_path / f"rank-{rank}.json").read_text())
        assert found["moved"] > 0.01
        assert found["sharded"] < 1e-6
        assert found["resumed"] == 0
        assert found["experts of this rank"] == 3
        assert found["momentum of this rank"] == [3, 32, 32]
