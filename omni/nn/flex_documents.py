"""FlexAttention (arXiv 2412.05496) over packed documents: tiles without a visible pair are never computed."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from functools import cache
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

TILE = 128
"""Queries and keys of a tile, as the kernels want it."""


def document_tiles(lengths: Seq[int], device: torch.device | str = "cpu", tile: int = TILE) -> BlockMask:
    """Which tiles of (query, key) pairs to compute for documents of these lengths, one behind another.

    Taken off the lengths: ``create_block_mask`` would make all N * N pairs first.
    """
    lengths_d = torch.tensor(lengths, device=device)
    start_N = (lengths_d.cumsum(0) - lengths_d).repeat_interleave(lengths_d)  # of each position's document

    some_QK, all_QK = visible_tiles(start_N, tile)
    partial, full = (_ordered(tiles_QK) for tiles_QK in (some_QK & ~all_QK, all_QK))
    return BlockMask.from_kv_blocks(
        *partial,
        *full,
        BLOCK_SIZE=tile,
        mask_mod=lambda batch, head, query, key: (key <= query) & (key >= start_N[query]),
        seq_lengths=(len(start_N), len(start_N)),
    )


def visible_tiles(start_N: Tensor, tile: int) -> tuple[Bool[Tensor, "Q K"], Bool[Tensor, "Q K"]]:
    """Tiles in which some pair is visible, and those in which all are.

    ``start_N`` is where the document of each position begins. It never falls, so that the first query of a tile
    looks back furthest and the last one least.
    """
    first_Q = torch.arange(0, len(start_N), tile, device=start_N.device)
    last_Q = (first_Q + tile - 1).clamp(max=len(start_N) - 1)
    key_K = first_Q  # the first key of each tile
    earlier_QK = key_K < first_Q[:, None]
    some_QK = (key_K <= first_Q[:, None]) & (key_K + tile > start_N[first_Q, None])
    whole_Q1 = (first_Q + tile <= len(start_N))[:, None]
    return some_QK, earlier_QK & (key_K >= start_N[last_Q, None]) & whole_Q1


def _ordered(tiles_QK: Bool[Tensor, "Q K"]) -> tuple[Tensor, Tensor]:
    """How many tiles each row has, and the row's columns with those first: for a batch and a head of one."""
    columns_QK = tiles_QK.int().argsort(dim=1, descending=True, stable=True)
    return tiles_QK.sum(1, dtype=torch.int32)[None, None], columns_QK.int()[None, None]


def attend_by_tiles(
    q_NAC: Float[Tensor, "N A C"],
    k_NGC: Float[Tensor, "N G C"],
    v_NGC: Float[Tensor, "N G C"],
    tiles: BlockMask,
) -> Float[Tensor, "N A C"]:
    """Attention where ``tiles`` allows it. On CPU torch has no backward pass, and makes all scores."""
    q, k, v = (x.transpose(0, 1).unsqueeze(0) for x in (q_NAC, k_NGC, v_NGC))
    kernel = _kernel(q.device.type)
    out = kernel(q, k, v, block_mask=tiles, enable_gqa=q.shape[1] != k.shape[1])
    return out.squeeze(0).transpose(0, 1)


@cache
def _kernel(device: str) -> Any:
    return torch.compile(flex_attention) if device == "cuda" else flex_attention
