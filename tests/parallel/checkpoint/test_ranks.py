"""Four ranks (gloo): any world loads what any other saved, nothing is lost silently, and errors reach all."""

from __future__ import annotations

from pathlib import Path

from tests.ranks import run_ranks


def test_checkpoints_of_several_ranks(tmp_path: Path) -> None:
    """Saved at 2, loaded and saved at 4, at 1, and at 2 again; what else is checked is in ``rank.py``."""
    run_ranks(4, "tests.parallel.checkpoint.rank", tmp_path)
