"""FLOPs by formula against torch's counter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from omni.model import OmniTransformer
from omni.nn.config import MoEConfig, TextHeadConfig
from omni.nn.moe.groups import GroupSizes
from omni.planning.flop_counter import flop_counter
from omni.planning.flops import SCORES, flops_of
from omni.planning.workload import Mix, Workload
from tests.planning.text_batch import VOCABULARY, backward, small_config, text_batch

MOE = MoEConfig(experts=8, top_k=2, expert_width=96, shared_width=32, dense_layers=1)


@pytest.mark.parametrize("half", [False, True], ids=["fp32", "bf16"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_training_step_counts_as_the_formula_says(half: bool, tied: bool) -> None:
    config = small_config(moe=MOE, text=TextHeadConfig(tied=tied, chunk=64))
    model, batch = OmniTransformer(config, VOCABULARY), text_batch(2, 256)
    model.initialise(0)
    with flop_counter() as counter:
        backward(model, batch, half)
    planned = flops_of(config, VOCABULARY, Workload(length=256, rows=2))
    assert counter.get_total_flops() == pytest.approx(512 * planned.hardware(), rel=0.01)


@pytest.mark.parametrize(
    "settings",
    [
        {"routing": "grouped", "groups": GroupSizes(text=4, image=2, audio=2), "balance_loss": 0.1},
        {"routing": "hybrid", "groups": GroupSizes(shared=4, text=2, audio=2), "score": "sigmoid"},
        {"choice": "experts"},
    ],
    ids=["grouped, balance loss", "hybrid", "expert choice"],
)
def test_ways_of_routing_count_the_same(settings: dict[str, Any]) -> None:
    """Each position has ``top_k`` experts, of whatever group; where experts choose, in the mean."""
    config = small_config(moe=replace(MOE, **settings))
    model, batch = OmniTransformer(config, VOCABULARY), text_batch(2, 128)
    model.initialise(0)
    with flop_counter() as counter:
        backward(model, batch, False)
    workload = Workload(length=128, rows=2)
    planned = flops_of(config, VOCABULARY, workload)
    assert planned == flops_of(small_config(moe=MOE), VOCABULARY, workload)
    assert counter.get_total_flops() == pytest.approx(256 * planned.hardware(), rel=0.01)


def test_torch_alone_misses_experts_and_attention() -> None:
    config = small_config(moe=MOE)
    model, batch = OmniTransformer(config, VOCABULARY), text_batch(1, 128)
    model.initialise(0)
    with FlopCounterMode(display=False) as counter:
        backward(model, batch, False)
    parts = flops_of(config, VOCABULARY, Workload(length=128)).parts
    found = sum(parts[name] for name in ("attention", "router", "shared", "dense", "text_head"))
    assert counter.get_total_flops() == pytest.approx(3 * 128 * found, rel=0.01)


def test_the_forward_pass_alone_counts_no_gradients() -> None:
    config = small_config(moe=MOE)
    model, batch = OmniTransformer(config, VOCABULARY), text_batch(2, 128)
    model.initialise(0)
    with torch.no_grad(), flop_counter() as counter:
        model.text_head.loss(model(batch).x_BSD.flatten(0, 1), batch.text_ids.flatten())
    planned = flops_of(config, VOCABULARY, Workload(length=128, rows=2))
    assert counter.get_total_flops() == pytest.approx(256 * planned.forward, rel=0.01)


@pytest.mark.parametrize("modality", ["image", "audio"])
def test_a_head_counts_as_the_formula_says(modality: str) -> None:
    model = OmniTransformer(small_config(), VOCABULARY)
    model.initialise(0)
    hidden = torch.randn(40, 128, requires_grad=True)
    mix = Mix(**{"text": 0.0, modality: 1.0})
    flops = flops_of(model.config, VOCABULARY, Workload(mix=mix))
    expected = 40 * (3 * flops.parts[f"{modality}_head"] - flops.gradless + flops.parts["embed"])
    with flop_counter() as counter:
        if modality == "audio":
            model.audio_head.loss(hidden, torch.randint(64, (40, 4)))[0].backward()
        else:
            draws = model.config.image.draws
            noise, time = torch.randn(draws, 40, 48), torch.rand(draws, 40)
            places = torch.zeros(40, 2, dtype=torch.long)
            model.image_head.loss(hidden, places, torch.randn(40, 48), noise, time).backward()
    assert counter.get_total_flops() == pytest.approx(expected, rel=0.01)


def test_attention_grows_with_the_document_not_with_the_row() -> None:
    config = small_config()

    def scores(**sizes: Any) -> float:
        return flops_of(config, VOCABULARY, Workload(**sizes)).parts[SCORES]

    assert scores(length=1) == 4 * 4 * 128  # one key: two products of `width`, four layers
    assert scores(length=4095) == 2048 * scores(length=1)
    assert scores(length=65536, document=512) == scores(length=512)


def test_training_of_a_large_model_is_six_flops_a_parameter_and_the_attention() -> None:
    config = small_config(text=TextHeadConfig(tied=False))
    flops = flops_of(config, VOCABULARY, Workload(length=1024))
    products = sum(value for name, value in flops.parts.items() if name != SCORES)
    assert flops.training == 3 * products + 3 * flops.parts[SCORES]
    assert flops.parts[SCORES] == 4 * 4 * 128 * 1025 / 2
    assert flops.hardware("block") > flops.hardware() > flops.training
