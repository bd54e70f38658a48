"""Learning rates step by step, and what decays."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from omni.optim import OptimConfig, build_optimizer, parameter_groups
from tests.tiny_model import tiny_model

SCHEDULES: list[tuple[dict[str, Any], list[float]]] = [
    # warm-up over two steps, then half a cosine from 1 to 0.1 over the other eight
    ({"schedule": "cosine"}, [0.5, 1.0, 1.0, 0.966, 0.868, 0.722, 0.55, 0.378, 0.232, 0.134]),
    # constant, then linear over the last quarter of the eight
    ({"schedule": "wsd", "decay_share": 0.25}, [0.5, 1, 1, 1, 1, 1, 1, 1, 1, 0.55]),
    ({"schedule": "constant"}, [0.5, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
    ({"schedule": "constant", "warmup_steps": 0}, [1] * 10),
    ({"schedule": "cosine", "warmup_steps": 20}, [(step + 1) / 20 for step in range(10)]),
]


@pytest.mark.parametrize(
    ("settings", "expected"), SCHEDULES, ids=[str(settings) for settings, _ in SCHEDULES]
)
def test_learning_rate_of_ten_steps(settings: dict[str, Any], expected: list[float]) -> None:
    config = OptimConfig(**({"warmup_steps": 2, "final_share": 0.1} | settings))
    assert [config.lr_share(step, total=10) for step in range(10)] == pytest.approx(expected, abs=1e-3)


def test_schedules_end_at_the_final_share() -> None:
    for schedule in ("cosine", "wsd"):
        assert OptimConfig(schedule=schedule).lr_share(1000, total=1000) == pytest.approx(0.1)
        assert OptimConfig(schedule=schedule).lr_share(5000, total=1000) == pytest.approx(0.1)


def test_the_optimizer_follows_the_schedule() -> None:
    weight = torch.nn.Parameter(torch.zeros(2, 2))
    model = torch.nn.Module()
    model.weight = weight
    config = OptimConfig(lr=0.01, warmup_steps=2, schedule="constant")
    optimizer, schedule = build_optimizer(model, config, total_steps=10)
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        weight.grad = torch.ones(2, 2)
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.005, 0.01, 0.01, 0.01])


def test_norms_biases_and_embeddings_do_not_decay() -> None:
    model = tiny_model()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, plain = (
        {names[id(parameter)] for parameter in group["params"]}  # type: ignore[attr-defined]
        for group in parameter_groups(model, weight_decay=0.1)
    )
    assert decayed | plain == set(names.values())
    assert not decayed & plain
    assert {"embed.text.weight", "embed.codes.weight", "embed.row.weight", "norm.weight"} <= plain
    assert {"audio_head.level.weight", "image_head.row.weight", "embed.patch.bias"} <= plain
    assert {name for name in plain if name.startswith("blocks.0")} == {
        f"blocks.0.{name}.weight"
        for name in ("attention_norm", "attention.q_norm", "attention.k_norm", "feed_forward_norm")
    }
    assert {name for name in decayed if name.startswith("blocks.0")} == {
        "blocks.0.attention.qkv.weight",
        "blocks.0.attention.out.weight",
        "blocks.0.moe.router.weight",
        "blocks.0.moe.experts.w13",
        "blocks.0.moe.experts.w2",
    }
    assert {"audio_head.logits", "embed.patch.weight", "image_head.velocity.weight"} <= decayed


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"lr": 0.0}, r"model\.optim\.lr must be positive, got 0\.0"),
        ({"warmup_steps": -1}, r"model\.optim\.warmup_steps must not be negative, got -1"),
        ({"decay_share": 0.0}, r"model\.optim\.decay_share must be in \(0, 1\], got 0\.0"),
    ],
)
def test_impossible_settings_are_refused_by_key(settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        OptimConfig(**settings)
