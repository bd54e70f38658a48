"""Configs that can't work are refused at once, by the key to change and what it was."""

from __future__ import annotations

from typing import Any

import pytest

from omni.nn.config import (
    AudioHeadConfig,
    ImageHeadConfig,
    InitConfig,
    ModelConfig,
    MoEConfig,
    TextHeadConfig,
)
from omni.nn.context_config import RecomputeConfig, RopeConfig, YarnConfig
from omni.nn.moe.groups import GroupSizes

IMPOSSIBLE: list[tuple[type, dict[str, Any], list[str]]] = [
    (ModelConfig, {"width": 100, "heads": 8}, ["model.network.width", "model.network.heads", "100 and 8"]),
    (ModelConfig, {"heads": 8, "kv_heads": 3}, ["model.network.heads", "model.network.kv_heads", "8 and 3"]),
    (ModelConfig, {"heads": 0}, ["model.network.heads must be at least 1, got 0"]),
    (ModelConfig, {"kv_heads": 0}, ["model.network.kv_heads must be at least 1, got 0"]),
    (ModelConfig, {"layers": 0}, ["model.network.layers must be at least 1, got 0"]),
    (ModelConfig, {"width": 32, "heads": 8, "kv_heads": 8}, ["model.network.width", "rotary axes", "got 4"]),
    (ModelConfig, {"width": 56, "heads": 8, "kv_heads": 8}, ["model.network.width", "even", "got 7"]),
    (
        ModelConfig,
        {"width": 60, "heads": 2, "kv_heads": 2},
        ["model.network.width", "multiple of 8", "got 60"],
    ),
    (
        ModelConfig,
        {"layers": 2, "moe": MoEConfig(dense_layers=3)},
        ["model.network.moe.dense_layers", "model.network.layers = 0..2", "got 3"],
    ),
    (MoEConfig, {"experts": 0}, ["model.network.moe.experts must be at least 1, got 0"]),
    (MoEConfig, {"experts": 4, "top_k": 5}, ["model.network.moe.top_k", "1..4", "got 5"]),
    (MoEConfig, {"top_k": 0}, ["model.network.moe.top_k", "got 0"]),
    (MoEConfig, {"expert_width": 12}, ["model.network.moe.expert_width", "multiple of 8", "got 12"]),
    (MoEConfig, {"shared_width": -8}, ["model.network.moe.shared_width must be at least 0, got -8"]),
    (MoEConfig, {"balance_rate": -1.0}, ["model.network.moe.balance_rate must be at least 0, got -1.0"]),
    (
        MoEConfig,
        {"balance_loss": -0.1},
        ["model.network.moe.balance_loss must be at least 0, got -0.1"],
    ),
    (
        MoEConfig,
        {"groups": GroupSizes(text=16)},
        [
            "model.network.moe.groups must be left out with model.network.moe.routing agnostic",
            "got shared 0 + text 16 + image 0 + audio 0",
            "say model.network.moe.routing grouped or hybrid",
        ],
    ),
    (
        MoEConfig,
        {"routing": "grouped"},
        ["model.network.moe.groups must add up to model.network.moe.experts = 16", "audio 0 = 0"],
    ),
    (
        MoEConfig,
        {"routing": "hybrid", "groups": GroupSizes(shared=8, text=4, image=2, audio=3)},
        [
            "model.network.moe.groups must add up to model.network.moe.experts = 16, "
            "got shared 8 + text 4 + image 2 + audio 3 = 17"
        ],
    ),
    (
        MoEConfig,
        {"routing": "grouped", "groups": GroupSizes(shared=4, text=8, image=2, audio=2)},
        ["model.network.moe.groups.shared must be 0", "got 4", "say model.network.moe.routing hybrid"],
    ),
    (
        MoEConfig,
        {"routing": "hybrid", "groups": GroupSizes(text=8, image=4, audio=4)},
        ["model.network.moe.groups.shared must be in 1..15", "got 0"],
    ),
    (
        MoEConfig,
        {"routing": "hybrid", "groups": GroupSizes(shared=16)},
        ["model.network.moe.groups.shared must be in 1..15", "got 16"],
    ),
    (
        MoEConfig,
        {"routing": "grouped", "groups": GroupSizes(text=14, image=1, audio=1)},
        [
            "model.network.moe.top_k must be at most the experts open to image",
            "model.network.moe.groups.shared + model.network.moe.groups.image = 0 + 1, got 2",
        ],
    ),
    (
        MoEConfig,
        {"routing": "hybrid", "top_k": 4, "groups": GroupSizes(shared=2, text=10, image=4)},
        ["the experts open to audio", "= 2 + 0, got 4"],
    ),
    (
        MoEConfig,
        {"routing": "grouped", "groups": GroupSizes(text=20, image=-4)},
        ["model.network.moe.groups.image must be at least 0, got -4"],
    ),
    (
        MoEConfig,
        {"choice": "experts", "balance_loss": 1e-4},
        ["model.network.moe.balance_loss must be 0 with model.network.moe.choice experts", "got 0.0001"],
    ),
    (ImageHeadConfig, {"draws": 0}, ["model.network.image.draws must be at least 1, got 0"]),
    (
        ImageHeadConfig,
        {"input_noise": -0.1},
        ["model.network.image.input_noise must be at least 0, got -0.1"],
    ),
    (ImageHeadConfig, {"loss_weight": float("nan")}, ["model.network.image.loss_weight", "got nan"]),
    (AudioHeadConfig, {"width": 0}, ["model.network.audio.width must be at least 1, got 0"]),
    (
        AudioHeadConfig,
        {"input_corruption": 1.5},
        ["model.network.audio.input_corruption", "at most 1", "got 1.5"],
    ),
    (MoEConfig, {"z_loss": float("inf")}, ["model.network.moe.z_loss must be a finite number, got inf"]),
    (RopeConfig, {"base": float("nan")}, ["model.network.rope.base must be a finite number, got nan"]),
    (
        RopeConfig,
        {"base": 1.0, "yarn": YarnConfig(factor=2.0)},
        ["model.network.rope.base", "yarn.factor", "1.0"],
    ),
    (YarnConfig, {"factor": 0.5}, ["model.network.rope.yarn.factor must be at least 1, got 0.5"]),
    (YarnConfig, {"original_length": 0}, ["model.network.rope.yarn.original_length", "got 0"]),
    (YarnConfig, {"slow_turns": 0.0}, ["model.network.rope.yarn.slow_turns must be positive, got 0.0"]),
    (
        YarnConfig,
        {"slow_turns": 32.0},
        ["model.network.rope.yarn.slow_turns", "model.network.rope.yarn.fast_turns", "32.0 and 32.0"],
    ),
    (RecomputeConfig, {"every": 0}, ["model.network.recompute.every must be at least 1, got 0"]),
    (InitConfig, {"base_width": 0}, ["model.network.init.base_width must be at least 8, got 0"]),
    (
        ModelConfig,
        {"init": InitConfig(method="mup")},
        ["model.network.text.tied", "false", "model.network.init.method mup", "got true"],
    ),
    (TextHeadConfig, {"chunk": 0}, ["model.network.text.chunk must be at least 1, got 0"]),
    (TextHeadConfig, {"z_loss": -1.0}, ["model.network.text.z_loss must be at least 0, got -1.0"]),
]


@pytest.mark.parametrize(("part", "settings", "told"), IMPOSSIBLE, ids=lambda value: str(value)[:40])
def test_impossible_configs_are_refused_by_key(part: type, settings: dict[str, Any], told: list[str]) -> None:
    with pytest.raises(ValueError, match=r"model\.network") as caught:
        part(**settings)
    for words in told:
        assert words in str(caught.value)


def test_defaults_work() -> None:
    assert ModelConfig().head_channels == 64


def test_width_ratio_counts_under_mup_only() -> None:
    untied = TextHeadConfig(tied=False)
    assert ModelConfig(width=512).width_ratio == 1.0
    assert (
        ModelConfig(width=512, text=untied, init=InitConfig(method="mup", base_width=128)).width_ratio == 4.0
    )
