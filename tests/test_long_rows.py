"""Memory grows with the length of a document, not with its square: in training, in generation and in scoring."""

from __future__ import annotations

from functools import partial

import pytest
import torch

from benchmarks.context import MODES, VOCABULARY, document, growth, measured_apart, network, step
from benchmarks.peak_memory import peak_bytes
from omni.inference.cache import Piece, SlotCache, StepAttention
from omni.inference.score import text_nats
from omni.model import OmniTransformer

SHORT, LONG = 1024, 4096
LINEAR = LONG / SHORT
"""What is linear grows so; a mask of the length squared, or all logits, would be most of the memory and show."""


def model_of(mode: str = "none") -> OmniTransformer:
    model = OmniTransformer(network(mode), VOCABULARY)
    model.initialise(0)
    return model


@pytest.mark.parametrize("mode", MODES)
def test_training(mode: str) -> None:
    model = model_of(mode).train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    step(model, optimizer, document(64))
    short, long = (peak_bytes(partial(step, model, optimizer, document(n))) for n in (SHORT, LONG))
    assert long < 1.05 * LINEAR * short


def test_recomputed_blocks_take_less() -> None:
    peaks = []
    for mode in ("none", "operations", "blocks"):
        model = model_of(mode).train()
        optimizer = torch.optim.AdamW(model.parameters(), fused=True)
        peaks.append(peak_bytes(partial(step, model, optimizer, document(LONG))))
    everything, operations, blocks = peaks
    assert blocks < operations < everything


@torch.no_grad()
def prefill(model: OmniTransformer, length: int) -> SlotCache:
    cache = SlotCache(model.config.layers, slots=1)
    cache.reserve(length + 64)
    model(document(length), StepAttention(cache, [], [Piece(slot=0, past=0, new=length)]))
    return cache


def test_prefilling_a_cache() -> None:
    """In one pass; what stays are the keys and values of each layer."""
    model = model_of().eval()
    short, long = (peak_bytes(partial(prefill, model, n)) for n in (SHORT, LONG))
    assert long < 1.05 * LINEAR * short
    cache = prefill(model, LONG)
    assert cache.keys.shape == cache.values.shape == (2, 1, 1, LONG + 64, 32)


def test_scoring_text() -> None:
    """Logits of all positions at once would be 1,024 numbers for each."""
    model = model_of().eval()
    assert peak_bytes(lambda: text_nats(model, document(LONG))) < LONG * VOCABULARY.text * 4


@pytest.mark.slow
def test_the_benchmark_sees_linear_growth() -> None:
    rows = [measured_apart(length, "blocks") for length in (8192, 16_384, 32_768)]
    assert 0.8 < growth(rows) < 1.15, rows
