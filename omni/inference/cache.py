"""The key/value cache: a fixed number of slots, each holding the past of one sequence, however long.

The sequences that decode lie in the first slots, side by side, so that a step reads them as they lie and copies
nothing. A step runs one flat row of positions: first the newest one of each decoding sequence, then pieces of
prompts. ``StepAttention`` lets each see its own past.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from omni.nn.document_attention import PackedAttention

GRAIN = 64
"""Positions by which the cache is sized."""


@dataclass(frozen=True)
class Piece:
    """``new`` positions of one sequence, behind ``past`` ones that the cache holds."""

    slot: int
    past: int
    new: int


class SlotCache:
    """Keys and values of all layers, (layers, slots, G, capacity, C) each; made at the first write."""

    def __init__(self, layers: int, slots: int) -> None:
        self.layers, self.slots = layers, slots
        self.capacity = GRAIN
        self.keys = self.values = torch.empty(0)

    def reserve(self, length: int) -> None:
        """Make room for sequences of ``length`` positions, and for a quarter more than there was."""
        if length > self.capacity:
            wanted = max(length, self.capacity + self.capacity // 4)
            wanted += -wanted % GRAIN
            if self.keys.numel():
                self.keys, self.values = (self._wider(store, wanted) for store in (self.keys, self.values))
            self.capacity = wanted

    @staticmethod
    def _wider(store: Tensor, capacity: int) -> Tensor:
        wider = store.new_zeros(*store.shape[:3], capacity, store.shape[4])
        wider[:, :, :, : store.shape[3]] = store
        return wider

    def write(self, layer: int, slots_N: Tensor, places_N: Tensor, k_NGC: Tensor, v_NGC: Tensor) -> None:
        """Keep keys and values of positions."""
        if not self.keys.numel():
            shape = (self.layers, self.slots, k_NGC.shape[1], self.capacity, k_NGC.shape[2])
            # zeros, since what is masked is multiplied by 0, and may not be NaN
            self.keys, self.values = k_NGC.new_zeros(shape), v_NGC.new_zeros(shape)
        self.keys[layer][slots_N, :, places_N] = k_NGC
        self.values[layer][slots_N, :, places_N] = v_NGC

    def swap(self, one: int, other: int, length: int) -> None:
        """Exchange two slots whose sequences have at most ``length`` positions."""
        if self.keys.numel():
            for store in (self.keys, self.values):
                kept = store[:, one, :, :length].clone()
                store[:, one, :, :length] = store[:, other, :, :length]
                store[:, other, :, :length] = kept


class StepAttention:
    """The attention context of one step."""

    def __init__(
        self,
        cache: SlotCache,
        decoding: Seq[int],
        pieces: Seq[Piece],
        span: int | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        """
        Args:
            cache: of all sequences; it has room for the new positions.
            decoding: positions that the cache holds of the sequences in slots 0, 1, ..., which get one more each.
            pieces: of prompts, in the order of the step's positions.
            span: how many cached positions the decoding ones look at, by default the longest; what lies behind
                a sequence's end is masked.
            device: of the model.
        """
        self.cache, self.rows, self.pieces = cache, len(decoding), list(pieces)
        self.span = span or max(decoding, default=0) + 1
        slots, places = list(range(self.rows)), list(decoding)
        for piece in self.pieces:
            slots += [piece.slot] * piece.new
            places += range(piece.past, piece.past + piece.new)
        cache.reserve(max(places) + 1)
        self.slots_N, self.places_N = (torch.tensor(x, device=device) for x in (slots, places))
        self.mask: Tensor | None = None
        self.bias: Tensor | None = None
        """The mask for each head, where attention adds it itself."""
        if span is not None or (decoding and min(decoding) < max(decoding)):
            hidden_BT = torch.arange(self.span, device=device) > self.places_N[: self.rows, None]
            self.mask = torch.zeros(hidden_BT.shape, device=device).masked_fill(hidden_BT, float("-inf"))
        fresh = [piece.new for piece in self.pieces if piece.past == 0]
        self.fresh = PackedAttention(fresh, device) if fresh else None

    def __call__(
        self,
        q_BSAC: Float[Tensor, "1 N A C"],
        k_BSGC: Float[Tensor, "1 N G C"],
        v_BSGC: Float[Tensor, "1 N G C"],
        layer: int,
    ) -> Float[Tensor, "1 N A C"]:
        """Keep the new keys and values, and let each position see its sequence up to itself."""
        q_NAC, k_NGC, v_NGC = q_BSAC[0].to(v_BSGC.dtype), k_BSGC[0].to(v_BSGC.dtype), v_BSGC[0]
        count = self.slots_N.shape[0]  # what is behind pads the step to its shape
        self.cache.write(layer, self.slots_N, self.places_N, k_NGC[:count], v_NGC[:count])
        outputs = [self._decode(q_NAC[: self.rows], layer)] if self.rows else []
        if self.pieces:
            outputs.append(self._prompts(q_NAC[self.rows :], k_NGC[self.rows :], v_NGC[self.rows :], layer))
        mixed = outputs[0] if len(outputs) == 1 else torch.cat(outputs)
        padding = q_NAC.shape[0] - count
        return (F.pad(mixed, (0, 0, 0, 0, 0, padding)) if padding else mixed)[None]

    def _decode(self, q_BAC: Float[Tensor, "B A C"], layer: int) -> Float[Tensor, "B A C"]:
        """One query a row. The query heads of a key head stand where positions would: no key is repeated."""
        keys, values = (x[layer, : self.rows, :, : self.span] for x in (self.cache.keys, self.cache.values))
        groups = keys.shape[1]
        q_BGrC = q_BAC.unflatten(1, (groups, q_BAC.shape[1] // groups))
        if q_BAC.device.type == "cpu" and q_BAC.dtype.itemsize >= 4:
            return self._by_products(q_BGrC, keys, values).view_as(q_BAC)
        mask = None if self.mask is None else self.mask[:, None, None].to(q_BAC.dtype)
        return F.scaled_dot_product_attention(q_BGrC, keys, values, attn_mask=mask).flatten(1, 2)

    def _by_products(self, q_BGrC: Tensor, keys_BGTC: Tensor, values_BGTC: Tensor) -> Tensor:
        """The same by plain products, which for a single query are faster on a CPU."""
        rows, groups, repeats, channels = q_BGrC.shape
        if self.bias is None:
            mask_BT = self.mask if self.mask is not None else q_BGrC.new_zeros(rows, self.span)
            shape = (rows, groups, repeats, self.span)
            self.bias = mask_BT.to(q_BGrC.dtype)[:, None, None].expand(shape).flatten(0, 1).contiguous()
        q, keys, values = (x.flatten(0, 1) for x in (q_BGrC, keys_BGTC, values_BGTC))
        scores = torch.baddbmm(self.bias, q, keys.mT, alpha=channels**-0.5)
        return torch.bmm(scores.softmax(-1), values)

    def _prompts(self, q_NAC: Tensor, k_NGC: Tensor, v_NGC: Tensor, layer: int) -> Tensor:
        ends = torch.tensor([piece.new for piece in self.pieces]).cumsum(0).tolist()
        spans = [slice(end - piece.new, end) for end, piece in zip(ends, self.pieces, strict=True)]
        found: list[Tensor] = []
        if self.fresh is not None:
            own = [span for span, piece in zip(spans, self.pieces, strict=True) if piece.past == 0]
            q, k, v = (torch.cat([x[span] for span in own])[None] for x in (q_NAC, k_NGC, v_NGC))
            fresh = iter(self.fresh(q, k, v, layer)[0].split(list(self.fresh.lengths)))
        for span, piece in zip(spans, self.pieces, strict=True):
            found.append(self._later(q_NAC[span], piece, layer) if piece.past else next(fresh))
        return torch.cat(found)

    def _later(self, q_LAC: Tensor, piece: Piece, layer: int) -> Tensor:
        """A piece that has a past. (``is_causal`` would align queries with the first keys, not the last.)"""
        end = piece.past + piece.new
        keys, values = (x[layer, piece.slot, :, :end][None] for x in (self.cache.keys, self.cache.values))
        place_L1 = torch.arange(piece.past, end, device=q_LAC.device)[:, None]
        seen_LT = torch.arange(end, device=q_LAC.device) <= place_L1
        mixed = F.scaled_dot_product_attention(
            q_LAC.transpose(0, 1)[None],
            keys,
            values,
            attn_mask=seen_LT,
            enable_gqa=q_LAC.shape[1] != keys.shape[1],
        )
        return mixed[0].transpose(0, 1)
