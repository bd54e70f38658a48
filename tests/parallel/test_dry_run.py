"""Dry runs: a model laid out for a cluster that isn't there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch.distributed as dist

from omni.cli.main import main
from omni.nn.config import ModelConfig, MoEConfig
from omni.parallel.dry_run import dry_run
from omni.parallel.mesh import MeshSizes
from omni.planning.parameters import count_parameters, default_vocabulary

CONFIG = ModelConfig(
    width=64, layers=2, heads=4, kv_heads=2, moe=MoEConfig(experts=16, top_k=2, expert_width=32)
)
VOCABULARY = default_vocabulary(CONFIG)
WHOLE = count_parameters(CONFIG, VOCABULARY)


def test_one_process_holds_everything() -> None:
    found = dry_run(CONFIG, VOCABULARY, MeshSizes())
    assert found.experts == 4 * WHOLE.parts["experts"]
    assert found.others == 4 * WHOLE.shared
    assert found.parameters == WHOLE.total
    assert found.optimizer == 2 * found.gradients == 2 * (found.experts + found.others)
    assert found.gathered == 4 * WHOLE.total  # all of two blocks


def test_experts_are_split_over_all_but_copies_and_so_is_the_rest() -> None:
    sizes = MeshSizes(replicate=2, shard=4, context=2, expert=8)
    parts = [dry_run(CONFIG, VOCABULARY, sizes, rank=rank) for rank in (0, 5, 127)]
    for part in parts:
        assert part.experts == 4 * WHOLE.parts["experts"] // 64
        assert part.others == pytest.approx(
            4 * WHOLE.shared / 64, rel=0.2
        )  # what doesn't divide is rounded up
    assert not dist.is_initialized()


def test_gathered_experts_are_those_of_a_rank() -> None:
    one, eight = (dry_run(CONFIG, VOCABULARY, MeshSizes(expert=ranks)) for ranks in (1, 8))
    assert one.gathered - eight.gathered == 4 * WHOLE.parts["experts"] * 7 // 8


def test_the_command_reports_the_bytes_of_one_of_1024(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = Path(__file__).parents[2] / "configs" / "model" / "10m.yaml"
    arguments = [
        "plan",
        "--dry-run",
        "--world",
        "1024",
        str(config),
        "--mesh",
        "replicate=16,shard=8,expert=8",
    ]
    assert main([*arguments, "--json", str(tmp_path / "plan.json")]) == 0
    figures = json.loads((tmp_path / "plan.json").read_text())
    assert figures["world"] == 1024 and figures["mesh"]["replicate"] == 16
    said = capsys.readouterr().out.splitlines()[0]
    assert said.startswith("Rank 0 of 1024: replicate 16, shard 8, expert 8; 10,018,176 parameters")
    held = figures["bytes"]
    assert held["total"] == sum(
        held[name] for name in ("experts", "others", "gradients", "optimizer", "gathered")
    )


@pytest.mark.parametrize(
    ("mesh", "said"),
    [
        ("shard=8,expert=7", "trainer.strategy.init_args.expert must divide model.network.moe.experts"),
        ("shard=8", "= 8, but there are 1024 processes"),
        ("dp=8", "unknown name 'dp', expected some of replicate, shard, context, expert"),
        ("shard=x", "shard must be there once, as a whole number, got 'x'"),
    ],
)
def test_a_mesh_that_does_not_do_is_named(mesh: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    config = Path(__file__).parents[2] / "configs" / "model" / "10m.yaml"
    world = ["--world", "56"] if "expert=7" in mesh else ["--world", "1024"]
    assert main(["plan", "--dry-run", str(config), "--mesh", mesh, *world]) == 2
    assert said in capsys.readouterr().err
