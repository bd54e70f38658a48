"""Attention through the cache equals attention over everything at once."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from omni.inference.cache import GRAIN, Piece, SlotCache, StepAttention
from tests.slow_attention import slow_attention

LAYERS, HEADS, KV_HEADS, CHANNELS = 2, 4, 2, 8


class Growing:
    """Sequences of random queries, keys and values, read piece by piece; each piece's attention is checked."""

    def __init__(self, slots: int) -> None:
        self.cache = SlotCache(LAYERS, slots)
        self.qkv: dict[int, list[list[Tensor]]] = {}  # by slot and layer

    def length(self, slot: int) -> int:
        return len(self.qkv[slot][0][0]) if slot in self.qkv else 0

    def step(self, decoding: int, prompts: dict[int, int], span: int | None = None) -> None:
        """One more position in the first ``decoding`` slots, and so many in those of prompts."""
        counts = {**dict.fromkeys(range(decoding), 1), **prompts}
        past = {slot: self.length(slot) for slot in counts}
        pieces = [Piece(slot, past[slot], count) for slot, count in prompts.items()]
        context = StepAttention(self.cache, [past[slot] for slot in range(decoding)], pieces, span)
        for slot, count in counts.items():
            self._draw(slot, count)
        for layer in range(LAYERS):
            q, k, v = (
                torch.cat([self.qkv[slot][layer][part][-count:] for slot, count in counts.items()])[None]
                for part in range(3)
            )
            wanted = [self._expected(slot, layer)[-count:] for slot, count in counts.items()]
            torch.testing.assert_close(context(q, k, v, layer)[0], torch.cat(wanted))

    def _expected(self, slot: int, layer: int) -> Tensor:
        q, k, v = self.qkv[slot][layer]
        return slow_attention(q, k, v, (len(q),))

    def _draw(self, slot: int, count: int) -> None:
        for layer in self.qkv.setdefault(slot, [[torch.zeros(0, 1, 1)] * 3 for _ in range(LAYERS)]):
            for part, heads in enumerate((HEADS, KV_HEADS, KV_HEADS)):
                new = torch.randn(count, heads, CHANNELS, dtype=torch.float64)
                layer[part] = torch.cat([layer[part], new]) if len(layer[part]) else new

    def swap(self, one: int, other: int) -> None:
        self.cache.swap(one, other, max(self.length(one), self.length(other)))
        kept = {one: self.qkv.pop(other, None), other: self.qkv.pop(one, None)}
        self.qkv.update({slot: qkv for slot, qkv in kept.items() if qkv is not None})


def test_rows_of_different_lengths_grow_together() -> None:
    rows = Growing(slots=3)
    rows.step(0, {0: 3, 1: 7, 2: 1})
    for _ in range(5):
        rows.step(3, {})


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 11])
def test_a_prompt_read_in_chunks_sees_what_it_would_at_once(chunk: int) -> None:
    """Masks of a later chunk are aligned with its last key: ``is_causal`` alone would look at the first ones."""
    rows = Growing(slots=1)
    for start in range(0, 11, chunk):
        rows.step(0, {0: min(chunk, 11 - start)})
    rows.step(1, {})


def test_prompts_are_read_beside_rows_that_decode() -> None:
    rows = Growing(slots=4)
    rows.step(0, {0: 4, 1: 2})
    rows.step(2, {3: 5, 2: 3})  # two fresh prompts
    rows.step(2, {2: 4, 3: 1})  # and how they go on
    rows.step(4, {})


def test_the_cache_grows_when_its_room_runs_out() -> None:
    rows = Growing(slots=2)
    rows.step(0, {0: GRAIN - 1, 1: 4})
    for _ in range(3):
        rows.step(2, {})
    assert rows.cache.capacity == 2 * GRAIN


def test_slots_change_places() -> None:
    rows = Growing(slots=3)
    rows.step(0, {0: 3, 1: 7})
    rows.swap(0, 1)
    rows.step(2, {})
    rows.swap(1, 2)  # with one that holds nothing
    rows.step(1, {2: 2})


def test_a_fixed_span_changes_nothing() -> None:
    rows = Growing(slots=2)
    rows.cache.reserve(32)
    rows.step(0, {0: 3, 1: 5})
    rows.step(2, {}, span=32)
