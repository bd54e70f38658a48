"""The family's sizes against what is published or estimated, and the parts against the model itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from omni.model import OmniTransformer
from omni.nn.config import MoEConfig
from omni.nn.moe.groups import GroupSizes
from omni.planning.family import FAMILY, FOLDER
from omni.planning.parameters import count_parameters, default_vocabulary, meta_model
from omni.planning.source import read_source
from tests.planning.text_batch import VOCABULARY, small_config

EXPECTED = {
    # name: (total, active, tolerance)
    "10m": (10e6, 5.6e6, 0.03),
    "100m": (100e6, 34e6, 0.03),
    "1b-a300m": (1.0e9, 300e6, 0.06),
    "7b-a1b": (6.9e9, 1.3e9, 0.07),  # published: OLMoE-1B-7B, arXiv 2409.02060
    "30b-a3b": (30.5e9, 3.3e9, 0.10),  # published: Qwen3-30B-A3B, arXiv 2505.09388
    "gpt3": (175.0e9, 175.0e9, 0.01),  # published: arXiv 2005.14165, table 2.1
    "gpt3.5": (175.0e9, 175.0e9, 0.01),  # assumed: that of GPT-3
    "gpt4": (1.8e12, 280e9, 0.03),  # estimated: SemiAnalysis, 10 July 2023
    "gpt4o": (1.37e12, 200e9, 0.03),  # active estimated: arXiv 2412.19260; total ours
    "gpt4.5": (1.8e12, 280e9, 0.03),  # assumed: that of gpt4
}


@pytest.mark.parametrize("name", FAMILY)
def test_a_config_of_the_family_has_its_parameters(name: str) -> None:
    config = read_source(FOLDER / f"{name}.yaml").config
    model = meta_model(config, default_vocabulary(config))
    assert {p.device.type for p in model.parameters()} == {"meta"}
    total, active, tolerance = EXPECTED[name]
    assert model.parameter_counts() == {
        "total": pytest.approx(total, rel=tolerance),
        "active": pytest.approx(active, rel=tolerance),
    }


def test_every_config_of_the_folder_is_in_the_family() -> None:
    found = {path.stem for path in FOLDER.glob("*.yaml")}
    assert set(FAMILY) == set(EXPECTED)
    assert set(FAMILY) <= found


def test_gpt3_has_the_parameters_of_its_paper_in_its_blocks() -> None:
    """12 x layers x width squared: attention of 4 and a feed-forward network of 8 squares of the width."""
    config = read_source(FOLDER / "gpt3.yaml").config
    parts = count_parameters(config, default_vocabulary(config)).parts
    assert parts["attention"] == 96 * 4 * 12288**2
    assert parts["dense"] == 96 * 8 * 12288**2
    assert parts["experts"] == parts["router"] == 0


@pytest.mark.parametrize("dense_layers", [0, 1, 4])
def test_parts_are_those_of_the_model_and_of_a_sum_by_hand(dense_layers: int) -> None:
    moe = MoEConfig(experts=8, top_k=2, expert_width=96, shared_width=32, dense_layers=dense_layers)
    config = small_config(moe=moe)
    counted = count_parameters(config, VOCABULARY)
    sparse = 4 - dense_layers
    by_hand = {
        "attention": 4 * (128 * (128 + 2 * 64) + 128 * 128),
        "router": sparse * 8 * 128,
        "experts": sparse * 8 * 3 * 128 * 96,
        "shared": sparse * 3 * 128 * 32,
        "dense": dense_layers * 3 * 128 * 2 * 96,
        "norms": 4 * (2 * 128 + 2 * 32) + 128,
        "embed": 128 * (2048 + 48 + 1 + 8 + 8 + 4 * 64),
        "text_head": 0,
    }
    assert {name: counted.parts[name] for name in by_hand} == by_hand
    real = OmniTransformer(config, VOCABULARY)
    assert counted.total == sum(p.numel() for p in real.parameters())
    assert counted.active == counted.total - sparse * 6 * 3 * 128 * 96


def test_groups_change_no_count() -> None:
    """A position has ``top_k`` experts of whatever group: as many are active, and as many there are."""
    moe = MoEConfig(experts=8, top_k=2, expert_width=96, dense_layers=1)
    groups = GroupSizes(shared=2, text=3, image=1, audio=2)
    plain, hybrid = (
        count_parameters(small_config(moe=settings), VOCABULARY)
        for settings in (moe, replace(moe, routing="hybrid", groups=groups))
    )
    assert hybrid == plain
    assert hybrid.active == hybrid.total - 3 * 6 * 3 * 128 * 96
