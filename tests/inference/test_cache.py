"""Attention through the cache equals attention over everything at once."""

from __future__ import annotations

import torch
from torch import Tensor

from omni.inference.cache import KeyValueCache
from tests.slow_attention import slow_attention

LAYERS, HEADS, KV_HEADS, CHANNELS = 2, 4, 2, 8
QKV = tuple[Tensor, Tensor, Tensor]


class Rows:
    """Queries, keys and values of each row and layer, drawn as the row grows; and what attention should give."""

    def __init__(self, lengths: list[int]) -> None:
        self.qkv = [[self._draw(length) for _ in range(LAYERS)] for length in lengths]

    @staticmethod
    def _draw(length: int) -> QKV:
        q, k, v = (
            torch.randn(length, heads, CHANNELS, dtype=torch.float64) for heads in (HEADS, KV_HEADS, KV_HEADS)
        )
        return q, k, v

    def grow(self) -> None:
        for row in self.qkv:
            for layer, (q, k, v) in enumerate(row):
                new_q, new_k, new_v = self._draw(1)
                row[layer] = (torch.cat([q, new_q]), torch.cat([k, new_k]), torch.cat([v, new_v]))

    def packed(self, layer: int) -> QKV:
        """All positions of all rows, one behind another: (1, N, heads, C)."""
        q, k, v = (torch.cat([row[layer][part] for row in self.qkv])[None] for part in range(3))
        return q, k, v

    def newest(self, layer: int) -> QKV:
        """(rows, 1, heads, C)."""
        q, k, v = (torch.stack([row[layer][part][-1:] for row in self.qkv]) for part in range(3))
        return q, k, v

    def expected(self, layer: int) -> list[Tensor]:
        """Attention output of each row, (length, heads, C)."""
        return [slow_attention(*row[layer], (len(row[layer][0]),)) for row in self.qkv]


def step(cache: KeyValueCache, rows: Rows) -> None:
    """One more position per row, checked."""
    rows.grow()
    for layer in range(LAYERS):
        got = cache(*rows.newest(layer), layer)
        torch.testing.assert_close(got[:, 0], torch.stack([out[-1] for out in rows.expected(layer)]))
    cache.advance()


def prefilled(lengths: list[int], room: int) -> tuple[KeyValueCache, Rows]:
    """A cache that holds prompts of these lengths; the prompts' own attention is checked."""
    cache, rows = KeyValueCache(LAYERS), Rows(lengths)
    context = cache.prefill(lengths, room)
    for layer in range(LAYERS):
        torch.testing.assert_close(context(*rows.packed(layer), layer)[0], torch.cat(rows.expected(layer)))
    return cache, rows


def test_rows_of_different_lengths_grow_together() -> None:
    cache, rows = prefilled([3, 7, 1], room=8)
    for _ in range(5):
        step(cache, rows)
    assert cache.lengths.tolist() == [8, 12, 6]


def test_the_cache_grows_when_its_room_runs_out() -> None:
    cache, rows = prefilled([2, 4], room=1)
    for _ in range(13):
        step(cache, rows)
    assert cache.keys[0].shape[1] >= 17


def test_rows_that_are_dropped_leave_the_others_as_they_are() -> None:
    cache, rows = prefilled([3, 7, 1, 2], room=8)
    step(cache, rows)
    cache.select(torch.tensor([0, 2]))  # the longest row goes
    rows.qkv = [rows.qkv[0], rows.qkv[2]]
    assert cache.longest == 4
    for _ in range(12):
        step(cache, rows)
