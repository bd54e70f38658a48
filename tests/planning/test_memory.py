"""Planned memory against the allocator's.

Measured is what torch's CPU allocator hands out, kernels' workspace included: ``torch.profiler`` with
``profile_memory`` records each allocation and release, and the highest running sum over a forward and backward
pass is the peak above what was there before (weights, gradients of an earlier pass, moments).
"""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from benchmarks.peak_memory import peak_bytes
from omni.model import OmniTransformer
from omni.nn.config import ModelConfig, MoEConfig
from omni.nn.moe.groups import GroupSizes
from omni.planning.flops import Checkpointing
from omni.planning.memory import Memory, memory_of
from omni.planning.meshes import Mesh
from omni.planning.parameters import count_parameters
from omni.planning.workload import Workload
from tests.planning.text_batch import VOCABULARY, backward, small_config, text_batch

ROWS, LENGTH = 2, 256
SPARSE = small_config(width=256, moe=MoEConfig(experts=16, top_k=4, expert_width=128, shared_width=64))
DENSE = small_config(width=192, moe=MoEConfig(experts=1, top_k=1, expert_width=512, dense_layers=4))
GROUPED = small_config(
    width=256,
    moe=replace(SPARSE.moe, routing="grouped", groups=GroupSizes(text=8, image=4, audio=4), balance_loss=0.1),
)
CHOOSING = small_config(width=256, moe=replace(SPARSE.moe, choice="experts"))
BOTH = small_config(moe=MoEConfig(experts=8, top_k=2, expert_width=96, dense_layers=2))


def planned(config: ModelConfig, half: bool, checkpointing: Checkpointing = "none", **mesh: Any) -> Memory:
    return memory_of(
        config,
        VOCABULARY,
        count_parameters(config, VOCABULARY),
        Workload(length=LENGTH, rows=ROWS),
        Mesh(**mesh),
        checkpointing,
        "bf16-mixed" if half else "32-true",
        kernels="cpu",
    )


def measured(config: ModelConfig, half: bool, checkpointed: bool = False) -> tuple[int, int]:
    """Bytes of weights, gradients and moments; and the peak above them."""
    model, batch = OmniTransformer(config, VOCABULARY), text_batch(ROWS, LENGTH)
    model.initialise(0)
    if checkpointed:
        for block in model.blocks:
            block.forward = _recomputed(block.forward)  # type: ignore[method-assign, assignment]
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    backward(model, batch, half)
    optimizer.step()
    tensors = list(model.parameters()) + [p.grad for p in model.parameters() if p.grad is not None]
    moments = [value for state in optimizer.state.values() for value in state.values()]
    peak = peak_bytes(lambda: backward(model, batch, half))
    return sum(tensor.nbytes for tensor in (*tensors, *moments)), peak


def _recomputed(forward: Any) -> Any:
    return lambda *arguments: checkpoint(forward, *arguments, use_reentrant=False)


@pytest.mark.filterwarnings("ignore:Mismatch dtype")
@pytest.mark.parametrize(
    ("config", "half", "checkpointing"),
    [
        (SPARSE, False, "none"),
        (SPARSE, True, "none"),
        (DENSE, True, "none"),
        (BOTH, False, "none"),
        (SPARSE, False, "block"),
        (GROUPED, False, "none"),
        (CHOOSING, True, "none"),
    ],
    ids=[
        "experts fp32",
        "experts bf16",
        "dense bf16",
        "both fp32",
        "experts fp32 checkpointed",
        "grouped fp32",
        "expert choice bf16",
    ],
)
def test_a_step_takes_the_planned_memory(config: ModelConfig, half: bool, checkpointing: str) -> None:
    plan = planned(config, half, checkpointing)  # type: ignore[arg-type]
    lasting, passing = measured(config, half, checkpointing == "block")
    kept = plan.weights + plan.gradients + plan.optimizer
    assert kept == pytest.approx(lasting, rel=0.001)
    assert plan.total - kept == pytest.approx(passing, rel=0.10)
    assert plan.total == pytest.approx(lasting + passing, rel=0.10)


def test_each_dimension_shares_out_what_it_should() -> None:
    whole = planned(SPARSE, True)
    meshes: list[dict[str, Any]] = [{"dp": 4}, {"tp": 2}, {"pp": 4}, {"dp": 2, "cp": 2}]
    for mesh in meshes:
        size = Mesh(**mesh).gpus
        assert planned(SPARSE, True, **mesh).weights == pytest.approx(whole.weights / size)
    assert planned(SPARSE, True, dp=4).activations == whole.activations
    assert planned(SPARSE, True, cp=2).activations == whole.activations / 2
    assert planned(SPARSE, True, ep=8).weights == pytest.approx(whole.weights / 8)


def test_moments_alone_can_be_sharded() -> None:
    parameters = count_parameters(SPARSE, VOCABULARY)
    arguments = (SPARSE, VOCABULARY, parameters, Workload(), Mesh(dp=8), "none", "bf16-mixed")
    full, moments = (memory_of(*arguments, sharding) for sharding in ("full", "optimizer"))  # type: ignore[arg-type]
    assert moments.optimizer == full.optimizer == parameters.total
    assert moments.gradients == 4 * parameters.total
    assert moments.weights == (4 / 8 + 2) * parameters.total
    assert sum(asdict(moments).values()) == moments.total


def test_a_pipeline_keeps_the_passes_in_flight() -> None:
    def activations(accumulate: int) -> float:
        return memory_of(
            SPARSE,
            VOCABULARY,
            count_parameters(SPARSE, VOCABULARY),
            Workload(accumulate=accumulate),
            Mesh(pp=4),
        ).activations

    assert activations(1) < activations(2) < activations(4) == activations(64)
