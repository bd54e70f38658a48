"""What is computed again changes neither losses nor gradients, counts nothing twice, and takes less memory."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from omni.datamodules.collate import collate
from omni.losses import compute_losses
from omni.model import OmniTransformer
from omni.nn.config import MoEConfig
from omni.nn.context_config import RecomputeConfig
from omni.nn.recompute import recomputing
from omni.sequence import OmniBatch
from tests.planning.text_batch import VOCABULARY, small_config, text_batch
from tests.tiny import tiny_documents
from tests.tiny_model import gradients, sequences_of, tiny_model

Mode = Literal["none", "blocks", "operations"]
MODE_NAMES: tuple[Mode, ...] = ("none", "operations", "blocks")
MODES: list[tuple[Mode, int]] = [("blocks", 1), ("blocks", 2), ("operations", 1), ("operations", 2)]
MIXED = MoEConfig(experts=4, top_k=2, expert_width=16, dense_layers=1, shared_width=8)


def batch() -> OmniBatch:
    """Two rows with every modality, and padding behind one of them."""
    sequences = sequences_of(tiny_documents(8))
    return collate([sequences[:3], sequences[3:]])


def step(
    mode: Mode, every: int, half: bool = False
) -> tuple[Tensor, dict[str, Tensor], list[Tensor], list[Tensor]]:
    """Loss, gradients, the routers' loads and the experts that telemetry sees, of one training step."""
    recompute = RecomputeConfig(mode=mode, every=every)
    model = tiny_model(layers=3, moe=MIXED, recompute=recompute).train()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        hidden = model(batch())
        loss = compute_losses(model, hidden, batch()).total
    loss.backward()
    chosen = [routing.experts_NT for routing in hidden.routing]
    return loss.detach(), gradients(model), [router.load for router in model.routers()], chosen


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize(("mode", "every"), MODES)
def test_a_step_is_the_same(mode: Mode, every: int, half: bool) -> None:
    loss, kept, loads, chosen = step("none", 1, half)
    again = step(mode, every, half)
    assert again[0] == loss
    for name, gradient in kept.items():
        torch.testing.assert_close(again[1][name], gradient, rtol=1e-6, atol=1e-8, msg=name)
    positions = int(batch().real.sum())
    for load, load_again in zip(loads, again[2], strict=True):
        assert load_again.sum() == positions * MIXED.top_k, "each position counts once"
        assert load_again.equal(load)
    assert len(again[3]) == len(chosen) and all(a.equal(b) for a, b in zip(again[3], chosen, strict=True))


@pytest.mark.parametrize(
    ("mode", "every", "times"), [("none", 1, [1, 1]), ("blocks", 1, [2, 2]), ("blocks", 2, [2, 1])]
)
def test_every_nth_block_runs_twice(mode: Mode, every: int, times: list[int]) -> None:
    model = tiny_model(recompute=RecomputeConfig(mode=mode, every=every)).train()
    runs: list[tuple[int, bool]] = []
    for layer, block in enumerate(model.blocks):
        block.register_forward_pre_hook(lambda *_, layer=layer: runs.append((layer, recomputing())))
    compute_losses(model, model(batch()), batch()).total.backward()
    assert [sum(layer == which for which, _ in runs) for layer in range(2)] == times
    assert [again for _, again in runs[:2]] == [False, False] and all(again for _, again in runs[2:])
    assert not recomputing()


def test_nothing_is_computed_again_without_gradients() -> None:
    model = tiny_model(recompute=RecomputeConfig(mode="operations")).eval()
    with torch.no_grad():
        hidden = model(batch()).x_BSD
        torch.testing.assert_close(hidden, tiny_model().eval()(batch()).x_BSD)


def kept_bytes(mode: Mode, every: int = 1) -> int:
    """Bytes that are still allocated behind a forward pass, for the backward pass."""
    model = OmniTransformer(small_config(recompute=RecomputeConfig(mode=mode, every=every)), VOCABULARY)
    model.initialise(0)
    rows = text_batch(1, 512)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        hidden = model.train()(rows)
    assert recorded.profiler is not None and recorded.profiler.kineto_results is not None
    events = recorded.profiler.kineto_results.events()
    assert hidden.x_BSD.requires_grad
    return sum(event.nbytes() for event in events if event.name() == "[memory]")


def test_less_is_kept() -> None:
    """Blocks keep their inputs; operations keep about what is between; every second block, half of the saving."""
    everything, operations, blocks = (kept_bytes(mode) for mode in MODE_NAMES)
    second = kept_bytes("blocks", 2)
    assert blocks < 0.25 * everything
    assert 1.5 * blocks < operations < 0.75 * everything
    assert (blocks + everything) / 2 == pytest.approx(second, rel=0.1)
