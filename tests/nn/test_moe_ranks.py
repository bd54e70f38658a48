"""The router's balance over two ranks (gloo)."""

from __future__ import annotations

from pathlib import Path

import torch

from tests.nn.moe_layer import GROUPS
from tests.nn.rank import balanced
from tests.ranks import run_two_ranks


def test_two_ranks_balance_as_one(tmp_path: Path) -> None:
    """By the load of both together, group by group, although one of them never sees a picture or a clip."""
    run_two_ranks("tests.nn.rank", tmp_path)
    first, second = (torch.load(tmp_path / f"rank-{rank}.pt", weights_only=True) for rank in (0, 1))
    for mode in GROUPS:
        expected = balanced(mode, [0, 1])
        assert first[mode].equal(expected)
        assert second[mode].equal(expected)
        assert not balanced(mode, [0]).equal(expected), "one rank's load alone says something else"
