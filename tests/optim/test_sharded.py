"""Muon and AdamW on a model that is sharded over two ranks (FSDP2, gloo)."""

from __future__ import annotations

import json
from pathlib import Path

from tests.ranks import run_two_ranks


def test_two_ranks_step_as_one_and_resume(tmp_path: Path) -> None:
    """Each rank orthogonalises its half of the experts and holds their momentum alone."""
    run_two_ranks("tests.optim.rank", tmp_path)
    for rank in (0, 1):
        found = json.loads((tmp_path / f"rank-{rank}.json").read_text())
        assert found["moved"] > 0.01
        assert found["sharded"] < 1e-6
        assert found["resumed"] == 0
        assert found["experts of this rank"] == 3
        assert found["momentum of this rank"] == [3, 32, 32]
