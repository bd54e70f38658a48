"""Training with OmniStrategy: as DDP trains, on every mesh and with every switch, and resumed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.ranks import run_two_ranks
from tests.tiny_run import STEPS, write_corpus


def trained(folder: Path, part: str) -> dict[str, Any]:
    corpus = write_corpus(folder)
    run_two_ranks("tests.parallel.training_rank", corpus, part)
    first, second = (json.loads((corpus / f"{part}-rank-{rank}.json").read_text()) for rank in (0, 1))
    assert first == second, "ranks differ in what they log or hold"
    return first


@pytest.mark.slow
def test_every_mesh_trains_as_ddp_does(tmp_path: Path) -> None:
    found = trained(tmp_path, "meshes")
    assert found["steps"] == STEPS and found["moved"] > 1e-3
    assert {"train/text", "train/image", "train/audio"} <= set(found["logged"])
    for mesh in ("expert", "context", "shard"):
        assert found[mesh]["apart"] < 1e-9, (mesh, found[mesh])
        assert found[mesh]["logged apart"] < 1e-5, (mesh, found[mesh])


@pytest.mark.slow
def test_every_switch_trains(tmp_path: Path) -> None:
    found = trained(tmp_path, "switches")
    for switch, apart in found["apart"].items():
        assert apart < 1e-5, (switch, apart)
    assert found["whole"] == 0 and found["drawn sharded"] == 0
    for switch, losses in found["losses"].items():
        assert losses[-1] < losses[0], switch
        assert losses == pytest.approx(found["losses"]["plain"], rel=0.05), switch


@pytest.mark.slow
def test_compiled_parts_train(tmp_path: Path) -> None:
    assert trained(tmp_path, "compiled")["apart"] < 2e-4
