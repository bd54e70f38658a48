"""Weights in int8: rounded as they should be, and a model that still answers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from omni.datamodules.collate import collate
from omni.inference.int8 import Int8Experts, Int8Linear, quantised
from omni.inference.weights import keep_weights
from omni.model import OmniTransformer
from omni.nn.config import MoEConfig
from omni.nn.moe.experts import Experts
from tests.inference.asking import MIXED, alone, engine_of
from tests.tiny_model import tiny_model


def quantised_model() -> OmniTransformer:
    """All of whose columns come in 32s."""
    model = tiny_model(moe=MoEConfig(experts=4, top_k=2, expert_width=32, shared_width=32)).eval()
    keep_weights(model, "int8")
    return model


def test_each_row_has_its_scale_and_is_rounded() -> None:
    weight = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 0.0], [100.0, 50.2, -1.0]])
    codes, scale = quantised(weight)
    assert codes.tolist() == [[64, -127, 32], [0, 0, 0], [127, 64, -1]]
    torch.testing.assert_close(scale[[0, 2]], torch.tensor([2.0, 100.0]) / 127)
    torch.testing.assert_close(codes * scale[:, None], weight, rtol=0, atol=float(scale.max()) / 2)


@pytest.mark.parametrize("rows", [1, 5])
def test_a_layer_multiplies_with_what_it_stands_for(rows: int) -> None:
    linear, x = nn.Linear(64, 24), torch.randn(2, rows, 64)
    layer = Int8Linear(linear)
    expected = x.bfloat16().float() @ layer.weight.T + linear.bias
    torch.testing.assert_close(layer(x), expected, rtol=1e-2, atol=1e-2)
    assert (layer.weight - linear.weight).abs().max() <= layer.scale.max() / 2 + 1e-7


def test_experts_do_so_too() -> None:
    experts = Experts(3, 32, 64)
    nn.init.normal_(experts.w13, std=0.2)
    nn.init.normal_(experts.w2, std=0.2)
    x, counts = torch.randn(6, 32), torch.tensor([4, 0, 2])
    with torch.no_grad():
        torch.testing.assert_close(Int8Experts(experts)(x, counts), experts(x, counts), rtol=0.05, atol=0.1)


def test_matrices_are_quantised_and_nothing_else() -> None:
    model = quantised_model()
    kept = {name for name, tensor in model.state_dict().items() if tensor.dtype == torch.int8}
    blocks = [f"blocks.{n}." for n in (0, 1)]
    layers = ("attention.qkv", "attention.out", "moe.shared.w13", "moe.shared.w2")
    expected = {f"{block}{layer}.codes" for block in blocks for layer in layers}
    expected |= {f"{block}moe.experts.{w}" for block in blocks for w in ("w13", "w2")}
    assert {name for name in kept if name.startswith("blocks.")} == expected
    assert "text_head.linear.codes" in kept
    assert model.embed.text.weight.dtype == torch.float32


def test_a_quantised_model_answers_in_every_modality_and_as_it_would_uncached() -> None:
    model = quantised_model()
    for request in MIXED:
        assert alone(model, request).segments
    handle = engine_of(model).submit(MIXED[4])
    handle.result()
    whole = handle.engine.layout.finish(handle.row.builder, "answer")
    with torch.no_grad():
        logits = model.text_head(model(collate([[whole]])).x_BSD[0])[handle.row.prompt_length - 1 : -1]
    said = torch.tensor(handle.row.builder.text_ids[handle.row.prompt_length :])
    regret = logits.amax(-1) - logits.gather(-1, said[:, None])[:, 0]
    assert regret.median() < 0.1, regret  # greedy, but for control symbols
