"""The lean forward of generation equals the model's, layer kinds and modalities alike."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from omni.datamodules.collate import collate
from omni.inference.experts import FewRows
from omni.inference.reader import Reader
from omni.nn.config import MoEConfig
from omni.nn.document_attention import PackedAttention
from omni.nn.moe.layer import MoE
from tests.tiny import tiny_documents
from tests.tiny_model import sequences_of, tiny_model


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"kv_heads": 4},
        {"moe": MoEConfig(experts=4, top_k=2, expert_width=16, dense_layers=1, shared_width=8)},
    ],
    ids=["grouped queries", "all heads", "dense and shared"],
)
def test_hidden_states_are_those_of_the_model(changes: dict[str, Any]) -> None:
    model = tiny_model(**changes).eval()
    batch = collate([sequences_of(tiny_documents(8))])
    with torch.inference_mode():
        expected = model(batch).x_BSD[0]
        got = Reader(model)(batch, PackedAttention(batch.lengths), int(batch.coords.max()))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)


def test_text_alone_needs_no_other_projection() -> None:
    model = tiny_model().eval()
    texts = [document for document in tiny_documents(24) if document.source == "prose"]
    batch = collate([sequences_of(texts[:1])])
    with torch.inference_mode():
        expected = model(batch).x_BSD[0]
        got = Reader(model)(batch, PackedAttention(batch.lengths), int(batch.coords.max()))
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_experts_sorted_and_applied_to_all_equal_those_of_the_layer(count: int) -> None:
    layer = tiny_model(dtype=torch.float64).blocks[0].moe
    assert isinstance(layer, MoE)
    x = torch.randn(count, 32, dtype=torch.float64)
    modality = torch.zeros(1, count, dtype=torch.uint8)
    with torch.no_grad():
        expected, routing = layer(x[None], modality)
        experts, gates = layer.router.choose(x, modality[0])
        assert torch.equal(experts, routing.experts_NT) and torch.equal(gates, routing.gates_NT)
        few = FewRows(layer.experts, packs=True)
        for mix in (few.sort, few.apply_to_all):
            torch.testing.assert_close(
                mix(x, experts, gates), expected[0], rtol=0, atol=1e-6
            )  # gates are fp32
