"""Any mesh gives the losses, gradients and norms of one process, in fp64, with a rank that sees text alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.parallel.exact_rank import batch_of
from tests.ranks import run_ranks

CLOSE = 1e-11


def _compared(ranks: int, folder: Path) -> list[dict[str, dict[str, Any]]]:
    run_ranks(ranks, "tests.parallel.exact_rank", folder)
    found = [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(ranks)]
    for of_rank in found:
        for mesh, figures in of_rank.items():
            close = 1e-4 if "float32" in mesh else CLOSE
            for name in ("loss", "gradients", "norms", "clipped"):
                assert figures[name] < close, (mesh, name, figures[name])
            assert figures["means"] < 1e-5, (mesh, figures["means"])
            assert figures["modalities logged"] == ["audio", "image", "text"], mesh
    return found


def test_two_ranks_compute_what_one_does(tmp_path: Path) -> None:
    first, second = _compared(2, tmp_path)
    shared = "replicate 1 x shard 1 x context 1 x expert 2"
    assert [bool(count) for count in first[shared]["own counts"]] == [True, False, False], "text alone"
    assert all(second[shared]["own counts"])
    assert first[shared]["experts here"] == [2, 32, 32]
    halves = [of_rank["replicate 1 x shard 1 x context 2 x expert 1"] for of_rank in (first, second)]
    assert [half["experts here"] for half in halves] == [[2, 32, 32]] * 2
    cut = sum(half["documents"] for half in halves) - len(batch_of([0, 1, 2, 3]).lengths)
    assert cut >= 2, "documents are to cross the border between the ranks"
    assert first["replicate 2 x shard 1 x context 1 x expert 1"]["experts here"] == [4, 32, 32]


@pytest.mark.slow
def test_four_ranks_compute_what_one_does(tmp_path: Path) -> None:
    found = _compared(4, tmp_path)
    expert = [of_rank["replicate 1 x shard 1 x context 1 x expert 4"] for of_rank in found]
    assert [figures["experts here"] for figures in expert] == [[1, 32, 32]] * 4
    assert not any(expert[0]["own counts"][1:])
