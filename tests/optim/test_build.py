"""The optimizer that a run gets: fused or not, resumed, with Muon beside AdamW."""

from __future__ import annotations

import copy
import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from omni.datamodules.collate import collate
from omni.losses import compute_losses
from omni.model import OmniTransformer
from omni.nn.config import MoEConfig
from omni.optim.build import build_optimizer
from omni.optim.config import MuonConfig, OptimConfig
from omni.optim.joint import MuonAdamW
from tests.tiny import tiny_documents
from tests.tiny_model import sequences_of, tiny_config, tiny_model

MIXED = MoEConfig(experts=4, top_k=2, expert_width=16, shared_width=24, dense_layers=1)


def train(
    model: OmniTransformer,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    steps: int,
) -> list[float]:
    """Losses of steps on one batch of all kinds of documents."""
    batch = collate([sequences_of(tiny_documents(8))])
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = compute_losses(model, model(batch), batch).total
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses


def test_the_optimizer_follows_the_schedule() -> None:
    weight = nn.Parameter(torch.zeros(2, 2))
    model = nn.Module()
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


def test_fused_equals_operation_by_operation() -> None:
    model = tiny_model()
    ends = {}
    for fused in (True, False):
        trained = copy.deepcopy(model)
        optimizer, schedule = build_optimizer(trained, OptimConfig(lr=3e-3, fused=fused, warmup_steps=2), 10)
        assert {(group["fused"], group["foreach"]) for group in optimizer.param_groups} == {
            (fused, not fused)
        }
        train(trained, optimizer, schedule, 3)
        ends[fused] = dict(trained.named_parameters())
    moved = max((ends[True][n] - p).abs().max().item() for n, p in model.named_parameters())
    assert moved > 3e-3
    torch.testing.assert_close(ends[True], ends[False], rtol=0, atol=1e-5)


def test_devices_without_a_fused_kernel_go_without() -> None:
    with torch.device("meta"):
        model = OmniTransformer(tiny_config(), tiny_model().vocabulary)
    optimizer, _ = build_optimizer(model, OptimConfig(), 10)
    assert {(group["fused"], group["foreach"]) for group in optimizer.param_groups} == {(False, True)}


def test_muon_trains_the_tiny_model() -> None:
    """It learns one batch by heart, matrices of the layers alone moved by Muon and the rest by AdamW."""
    model = OmniTransformer(tiny_config(moe=MIXED), tiny_model().vocabulary)
    model.initialise(0)
    config = OptimConfig(optimizer="muon", lr=1e-2, warmup_steps=3)
    losses = train(model, *build_optimizer(model, config, 20), 20)
    assert losses[-1] < 0.25 * losses[0], losses


def saved(state: dict[str, Any]) -> dict[str, Any]:
    """``state`` as it comes back from a checkpoint."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_muon_resumes_bit_for_bit(precision: str) -> None:
    config = OptimConfig(
        optimizer="muon",
        lr=1e-2,
        warmup_steps=2,
        muon=MuonConfig(precision=precision),  # type: ignore[arg-type]
    )
    whole = tiny_model(moe=MIXED)
    optimizer, schedule = build_optimizer(whole, config, 6)
    train(whole, optimizer, schedule, 3)
    kept = saved({"m": whole.state_dict(), "o": optimizer.state_dict(), "s": schedule.state_dict()})
    train(whole, optimizer, schedule, 3)

    resumed = tiny_model(seed=1, moe=MIXED)
    resumed.load_state_dict(kept["m"])
    again, plan = build_optimizer(resumed, config, 6)
    again.load_state_dict(kept["o"])
    plan.load_state_dict(kept["s"])
    train(resumed, again, plan, 3)
    ends: list[dict[str, Tensor]] = [model.state_dict() for model in (whole, resumed)]
    torch.testing.assert_close(ends[0], ends[1], rtol=0, atol=0)
    states = [o.state_dict()["state"] for o in (optimizer, again)]
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)
    assert any("momentum_buffer" in state for state in states[0].values())
    assert any("exp_avg" in state for state in states[0].values())


def test_a_copy_of_the_joint_optimizer_shares_its_state() -> None:
    model = tiny_model()
    optimizer, schedule = build_optimizer(model, OptimConfig(optimizer="muon"), 10)
    train(model, optimizer, schedule, 1)
    copied = copy.deepcopy(optimizer)
    assert isinstance(copied, MuonAdamW)
    assert copied.muon.state is copied.state is copied.adamw.state
    assert [*copied.muon.param_groups, *copied.adamw.param_groups] == copied.param_groups
