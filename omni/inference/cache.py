"""The key/value cache of a batch of rows, each as long as it is."""

from __future__ import annotations

from collections.abc import Sequence as Seq

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from omni.nn.document_attention import PackedAttention

LEAST_GROWTH = 16
"""Positions that are added at least when the room runs out."""


class KeyValueCache:
    """An attention context for one new position per row; ``prefill`` fills it from packed prompts."""

    def __init__(self, layers: int) -> None:
        self.keys: list[Tensor] = [torch.empty(0)] * layers  # each (rows, capacity, G, C)
        self.values: list[Tensor] = [torch.empty(0)] * layers
        self.lengths = torch.zeros(0, dtype=torch.long)
        self.longest = 0

    def prefill(self, lengths: Seq[int], room: int, device: torch.device | str = "cpu") -> PackedAttention:
        """A context that runs packed prompts of these ``lengths`` and keeps their keys and values.

        ``room`` is the number of positions kept free for the answer; more are added when they run out.
        """
        self.lengths = torch.tensor(lengths)
        self.longest = max(lengths)
        return _Recording(self, lengths, self.longest + room, device)

    def advance(self) -> None:
        """Count the position that all layers have just added to each row."""
        self.lengths += 1
        self.longest += 1

    def select(self, rows: Int[Tensor, " kept"]) -> None:
        """Keep only these rows."""
        self.keys = [k[rows] for k in self.keys]
        self.values = [v[rows] for v in self.values]
        self.lengths = self.lengths[rows]
        self.longest = int(self.lengths.max())

    def __call__(
        self,
        q_BSAC: Float[Tensor, "B 1 A C"],
        k_BSGC: Float[Tensor, "B 1 G C"],
        v_BSGC: Float[Tensor, "B 1 G C"],
        layer: int,
    ) -> Float[Tensor, "B 1 A C"]:
        """Attention of each row's new position to itself and all before it."""
        if self.longest >= self.keys[layer].shape[1]:
            self._grow(layer)
        rows = torch.arange(len(self.lengths))
        self.keys[layer][rows, self.lengths] = k_BSGC[:, 0]
        self.values[layer][rows, self.lengths] = v_BSGC[:, 0]
        past = self.longest + 1
        seen_BT = torch.arange(past) <= self.lengths[:, None]
        k, v = (x[layer][:, :past].transpose(1, 2) for x in (self.keys, self.values))  # (B, G, past, C)
        out = F.scaled_dot_product_attention(
            q_BSAC.transpose(1, 2),
            k,
            v,
            attn_mask=seen_BT[:, None, None].to(k.device),
            enable_gqa=q_BSAC.shape[2] != k_BSGC.shape[2],
        )
        return out.transpose(1, 2)

    def _grow(self, layer: int) -> None:
        """Add a quarter, so that behind a long prompt the free room is small beside it."""
        for store in (self.keys, self.values):
            old = store[layer]
            rows, capacity, *rest = old.shape
            store[layer] = torch.cat(
                [old, old.new_zeros(rows, max(LEAST_GROWTH, capacity // 4), *rest)], dim=1
            )


class _Recording(PackedAttention):
    """Packed attention that keeps keys and values in a cache."""

    def __init__(
        self, cache: KeyValueCache, lengths: Seq[int], capacity: int, device: torch.device | str
    ) -> None:
        super().__init__(lengths, device)
        self.cache, self.capacity = cache, capacity
        counts = torch.tensor(lengths)
        self.row_N = torch.repeat_interleave(torch.arange(len(counts)), counts)
        starts_N = torch.repeat_interleave(counts.cumsum(0) - counts, counts)
        self.place_N = torch.arange(len(self.row_N)) - starts_N

    def __call__(self, q_BSAC: Tensor, k_BSGC: Tensor, v_BSGC: Tensor, layer: int) -> Tensor:
        for store, new in ((self.cache.keys, k_BSGC), (self.cache.values, v_BSGC)):
            kept = new.new_zeros(len(self.lengths), self.capacity, *new.shape[2:])
            kept[self.row_N, self.place_N] = new.flatten(0, 1)
            store[layer] = kept
        return super().__call__(q_BSAC, k_BSGC, v_BSGC, layer)
