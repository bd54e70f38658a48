"""The engine: requests come and go, and each is answered as if it were alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from omni.datamodules.collate import collate
from omni.inference.engine import Engine, Handle
from omni.inference.request import Request
from omni.model import OmniTransformer
from omni.sequence import Text
from tests.inference.asking import GREEDY, MIXED, PROMPTS, alone, engine_of, same
from tests.tiny_model import tiny_model


@pytest.mark.parametrize(("slots", "chunk"), [(2, 512), (3, 4), (16, 7)])
def test_an_answer_is_the_same_whatever_is_beside_it(model: OmniTransformer, slots: int, chunk: int) -> None:
    """Few slots, so that requests wait for each other, and prompts in chunks while others decode."""
    engine = engine_of(model, slots=slots, chunk=chunk)
    handles: list[Handle] = []
    for request in MIXED:
        handles.append(engine.submit(request))
        engine.step()
        engine.step()
    for request, handle in zip(MIXED, handles, strict=True):
        assert same(handle.result().segments, alone(model, request).segments), request
    assert engine._batcher.free == slots
    assert not engine.step()


def test_a_long_prompt_comes_while_others_are_answered(model: OmniTransformer) -> None:
    """The cache grows under the rows that are in it."""
    engine = engine_of(model, slots=2)
    options = replace(GREEDY, max_text=30)
    first = Request(prompt=PROMPTS["text"], want="text", options=options)
    long = Request(prompt=[Text("which digit? " * 40)], want="text", options=options)
    handles = [engine.submit(first)]
    for _ in range(5):
        engine.step()
    handles.append(engine.submit(long))
    for request, handle in zip((first, long), handles, strict=True):
        assert same(handle.result().segments, alone(model, request).segments)
    assert engine._batcher.cache.capacity > 300


def logits_of(engine: Engine, requests: list[Request], watched: int) -> list[torch.Tensor]:
    """What the text head said for one of the requests, choice by choice."""
    found: list[torch.Tensor] = []
    handles = [engine.submit(request) for request in requests]
    row, drawer = handles[watched].row, engine._batcher.drawer
    original = drawer._text

    def watch(rows: list[Any], hidden_BD: torch.Tensor) -> None:
        if row in rows:
            logits = drawer.model.text_head(drawer._padded(hidden_BD))
            found.append(logits[rows.index(row)].clone())
        original(rows, hidden_BD)

    drawer._text = watch  # type: ignore[method-assign]
    for handle in handles:
        handle.result()
    return found


@pytest.mark.parametrize("watched", [0, 4])
def test_with_a_fixed_shape_not_a_bit_depends_on_the_others(watched: int) -> None:
    model = tiny_model()
    sizes: dict[str, Any] = {"slots": 8, "chunk": 16, "positions": 96, "fixed": True}
    expected = logits_of(engine_of(model, **sizes), [MIXED[watched]], 0)
    with_others = logits_of(engine_of(model, **sizes), MIXED, watched)
    assert len(expected) == len(with_others) > 5
    for one, other in zip(expected, with_others, strict=True):
        assert torch.equal(one, other)


def test_logits_equal_those_of_the_uncached_model(model: OmniTransformer) -> None:
    engine = engine_of(model, slots=3, chunk=5)
    got = logits_of(engine, [MIXED[4], *MIXED], 0)
    row = engine_of(model).submit(MIXED[4])
    row.result()
    whole = engine.layout.finish(row.row.builder, "answer")
    with torch.no_grad():
        logits = model.text_head(model(collate([[whole]])).x_BSD[0])[row.row.prompt_length - 1 : -1]
    torch.testing.assert_close(torch.stack(got), logits, rtol=0, atol=1e-4)


def test_weights_in_bf16_answer_in_every_modality() -> None:
    model = tiny_model().to(torch.bfloat16)
    for request in MIXED:
        assert alone(model, request).segments
