"""Meshes: written, checked against a config, and listed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni.nn.config import MoEConfig
from omni.planning.meshes import Mesh, misfit, parse_mesh, possible_meshes
from omni.planning.workload import Mix, Workload
from tests.planning.text_batch import small_config

CONFIG = small_config(width=128, layers=6, heads=8, kv_heads=4)


def test_a_mesh_is_read_as_written() -> None:
    assert parse_mesh("dp=2,ep=8", 16) == Mesh(dp=2, ep=8)
    assert parse_mesh("dp=2, tp=4", 8) == Mesh(dp=2, tp=4)
    assert str(Mesh(dp=2, ep=8)) == "dp=2,ep=8"
    assert str(Mesh()) == "dp=1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dp=2,ep=8", "--mesh dp=2,ep=8 multiplies to 16, but --gpus is 64; say dp=8"),
        ("tp=7", "--mesh tp=7 multiplies to 7, but --gpus is 64"),
        ("zp=2", "unknown dimension 'zp', expected some of dp, ep, tp, pp, cp"),
        ("dp=two", "dp must be a whole number of at least 1, got 'two'"),
        ("dp=0", "dp must be a whole number of at least 1, got '0'"),
        ("dp=2,dp=32", "dp is there twice"),
        ("", "unknown dimension ''"),
    ],
)
def test_a_mesh_that_is_no_mesh_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="--mesh") as refused:
        parse_mesh(text, 64)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("mesh", "said"),
    [
        ({"ep": 3}, "ep=3 must divide model.network.moe.experts = 8; use ep of 1, 2, 4, 8"),
        ({"tp": 8}, "tp=8 must divide model.network.heads and kv_heads = 4; use tp of 1, 2, 4"),
        ({"pp": 4}, "pp=4 must divide model.network.layers = 6; use pp of 1, 2, 3, 6"),
        ({"cp": 3}, "cp=3 must divide --length = 4096"),
    ],
)
def test_a_config_that_does_not_suit_is_refused(mesh: dict[str, int], said: str) -> None:
    assert said in (misfit(Mesh(**mesh), CONFIG, Workload()) or "")


def test_a_dense_model_has_no_experts_to_share_out() -> None:
    dense = small_config(moe=MoEConfig(experts=8, top_k=2, expert_width=96, dense_layers=4))
    assert "all layers are dense" in (misfit(Mesh(ep=2), dense, Workload()) or "")


def test_tensor_parallelism_stays_in_a_server() -> None:
    wide = small_config(width=512, heads=16, kv_heads=16)
    assert "at most the 8 GPUs" in (misfit(Mesh(tp=16), wide, Workload()) or "")


@given(st.integers(1, 96))
def test_possible_meshes_multiply_to_the_gpus_and_suit(gpus: int) -> None:
    found = list(possible_meshes(gpus, CONFIG, Workload()))
    assert len(set(found)) == len(found)
    assert Mesh(dp=gpus) in found
    for mesh in found:
        assert mesh.gpus == gpus
        assert misfit(mesh, CONFIG, Workload()) is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"length": 0}, "--length must be at least 1, got 0"),
        ({"rows": -1}, "--rows must be at least 1, got -1"),
        ({"length": 8, "document": 9}, "--document must be in 1..--length = 1..8"),
    ],
)
def test_a_workload_that_cannot_be_is_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match="--") as refused:
        Workload(**settings)
    assert said in str(refused.value)


def test_shares_sum_to_one() -> None:
    with pytest.raises(ValueError, match=r"must sum to 1, got 1\.5"):
        Mix(text=1.0, image=0.5)
