"""Learning rates step by step, and settings that can't work."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from omni.nn.config import InitConfig, ModelConfig, TextHeadConfig
from omni.optim.config import MuonConfig, OptimConfig

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


@pytest.mark.parametrize(
    ("curve", "quarter", "half"),
    [("linear", 0.775, 0.55), ("exponential", 0.5623, 0.3162), ("sqrt", 0.55, 0.3636)],
)
def test_wsd_at_its_borders(curve: Any, quarter: float, half: float) -> None:
    """100 steps of warm-up and 1,000 behind it, of which the last 200 decay to a tenth."""
    config = OptimConfig(
        schedule="wsd", warmup_steps=100, decay_share=0.2, final_share=0.1, decay_curve=curve
    )
    golden = {
        0: 0.01,
        98: 0.99,
        99: 1.0,
        100: 1.0,
        500: 1.0,
        900: 1.0,
        950: quarter,
        1000: half,
        1100: 0.1,
        2000: 0.1,
    }
    got = {step: config.lr_share(step, total=1100) for step in golden}
    assert got == pytest.approx(golden, abs=1e-4)
    assert config.lr_share(901, total=1100) < 1.0


def test_schedules_end_at_the_final_share() -> None:
    for schedule in ("cosine", "wsd"):
        assert OptimConfig(schedule=schedule).lr_share(1000, total=1000) == pytest.approx(0.1)
        assert OptimConfig(schedule=schedule).lr_share(5000, total=1000) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("part", "settings", "told"),
    [
        (OptimConfig, {"lr": 0.0}, r"model\.optim\.lr must be positive, got 0\.0"),
        (OptimConfig, {"lr": float("nan")}, r"model\.optim\.lr must be positive, got nan"),
        (OptimConfig, {"lr": float("inf")}, r"model\.optim\.lr must be positive, got inf"),
        (OptimConfig, {"warmup_steps": -1}, r"model\.optim\.warmup_steps must be at least 0, got -1"),
        (OptimConfig, {"weight_decay": -0.1}, r"model\.optim\.weight_decay must be at least 0, got -0\.1"),
        (OptimConfig, {"betas": (0.9, 1.0)}, r"model\.optim\.betas\[1\] must be in \[0, 1\), got 1\.0"),
        (OptimConfig, {"decay_share": 0.0}, r"model\.optim\.decay_share must be in \(0, 1\], got 0\.0"),
        (OptimConfig, {"final_share": 1.5}, r"model\.optim\.final_share must be in \[0, 1\], got 1\.5"),
        (
            OptimConfig,
            {"schedule": "wsd", "decay_curve": "exponential", "final_share": 0.0},
            r"model\.optim\.final_share must be positive with model\.optim\.decay_curve exponential",
        ),
        (MuonConfig, {"momentum": 1.0}, r"model\.optim\.muon\.momentum must be in \[0, 1\), got 1\.0"),
        (MuonConfig, {"steps": 0}, r"model\.optim\.muon\.steps must be at least 1, got 0"),
        (MuonConfig, {"lr_scale": 0.0}, r"model\.optim\.muon\.lr_scale must be positive, got 0\.0"),
    ],
)
def test_impossible_settings_are_refused_by_key(part: type, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        part(**settings)


def test_muon_steps_that_grow_with_the_width_are_refused_under_mup() -> None:
    network = ModelConfig(text=TextHeadConfig(tied=False), init=InitConfig(method="mup"))
    with pytest.raises(ValueError, match=r"model\.optim\.muon\.adjust .* model\.network\.init\.method mup"):
        OptimConfig(optimizer="muon").check_with(network)
    OptimConfig(optimizer="muon").check_with(replace(network, init=InitConfig()))
    OptimConfig(optimizer="muon", muon=MuonConfig(adjust="spectral_unclamped")).check_with(network)
