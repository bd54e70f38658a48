"""Two ranks, of which one has the trouble: both do the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from omni.callbacks.guards import SKIPPED_FILE
from omni.checkpoint import load_model
from omni.training.exit_codes import PREEMPTED
from tests.faults.planted import differing
from tests.faults.rank import ASKED, BAD
from tests.ranks import run_two_ranks
from tests.tiny_run import write_corpus

Found = list[dict[str, Any]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_corpus(tmp_path_factory.mktemp("ranks"))
    run_two_ranks("tests.faults.rank", folder)
    return folder


@pytest.fixture(scope="module")
def found(folder: Path) -> Found:
    """What each rank found."""
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]


def test_a_nan_on_one_rank_is_skipped_on_both(folder: Path, found: Found) -> None:
    assert found[0]["guarded"] == found[1]["guarded"]
    guarded = found[0]["guarded"]
    assert guarded["skipped"] == [BAD]
    assert guarded["moved"][str(BAD)] == 0 < guarded["moved"][str(BAD + 1)]
    ends = [torch.load(folder / f"weights-{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert differing(*ends) == set()
    (line,) = (folder / "guarded" / SKIPPED_FILE).read_text().splitlines()
    batches = json.loads(line)["batches"]
    assert [batch["rank"] for batch in batches] == [0, 0, 1, 1]
    assert [batch["loss"] == "NaN" for batch in batches] == [False, False, True, True]
    assert all(batch["documents"] for batch in batches)


def test_a_signal_to_one_rank_saves_and_ends_both_within_the_step(folder: Path, found: Found) -> None:
    steps = list(range(ASKED + 1))  # behind each batch
    assert [rank["preempted"] for rank in found] == 2 * [{"code": PREEMPTED, "steps": steps}]
    saved = load_model(folder / "preempted" / "last.ckpt")[0].state_dict()
    for rank in (0, 1):
        seen = torch.load(folder / f"asked-{rank}.pt", weights_only=True)
        assert all(torch.equal(seen[f"model.{name}"], weight) for name, weight in saved.items())


def test_a_slow_rank_is_named_on_rank_0(found: Found) -> None:
    (told,) = found[0]["slow"]["told"]
    assert told.startswith("stragglers, at step 4: rank 1 (") and "for the forward passes of a step" in told
    assert found[1]["slow"]["told"] == []
