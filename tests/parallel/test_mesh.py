"""Meshes: which ranks read which rows, and what can't be laid out."""

from __future__ import annotations

import re

import pytest

from omni.nn.config import ModelConfig, MoEConfig
from omni.parallel.mesh import MeshSizes

SMALL = ModelConfig(
    width=32, layers=2, heads=4, kv_heads=2, moe=MoEConfig(experts=4, top_k=2, expert_width=16)
)


def test_ranks_that_share_out_positions_read_the_same_rows() -> None:
    sizes = MeshSizes(replicate=2, context=2, expert=2)
    assert [sizes.reader(rank) for rank in range(8)] == [0, 1, 0, 1, 2, 3, 2, 3]
    assert sizes.readers == 4


def test_without_context_every_rank_reads_its_own() -> None:
    sizes = MeshSizes(replicate=2, shard=3, expert=2)
    assert [sizes.reader(rank) for rank in range(12)] == list(range(12))


@pytest.mark.parametrize(
    ("sizes", "processes", "said"),
    [
        (MeshSizes(shard=3), 8, "shard 3 x context 1 x expert 1 = 3, but there are 8 processes"),
        (MeshSizes(shard=2, expert=2), 8, "say shard 4"),
    ],
)
def test_a_mesh_of_other_processes_is_refused(sizes: MeshSizes, processes: int, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        sizes.check_world(processes)


@pytest.mark.parametrize(
    ("sizes", "network", "said"),
    [
        (
            MeshSizes(expert=3),
            {},
            "expert must divide model.network.moe.experts = 4, got 3; use one of 1, 2, 4",
        ),
        (
            MeshSizes(expert=2),
            {"moe": MoEConfig(experts=4, expert_width=16, dense_layers=2)},
            "(all layers are dense)",
        ),
        (MeshSizes(shard=5), {}, "shard x context = 5 must divide one of: the 4 experts of a rank"),
        (MeshSizes(context=3), {}, "init_args.context must divide model.network.heads = 4"),
        (
            MeshSizes(context=2),
            {"moe": MoEConfig(experts=4, expert_width=16, balance_loss=0.1)},
            "init_args.context must be 1 with model.network.moe.choice experts or",
        ),
    ],
)
def test_a_model_that_does_not_suit_is_refused(
    sizes: MeshSizes, network: dict[str, object], said: str
) -> None:
    settings = {"width": 32, "layers": 2, "heads": 4, "kv_heads": 2, "moe": SMALL.moe} | network
    with pytest.raises(ValueError, match=re.escape(said)):
        sizes.check_with(ModelConfig(**settings))  # type: ignore[arg-type]


def test_sizes_start_at_one() -> None:
    with pytest.raises(
        ValueError, match=re.escape("trainer.strategy.init_args.expert must be at least 1, got 0")
    ):
        MeshSizes(expert=0)
