"""FlexAttention's tiles against the mask of all pairs, and its output against a loop over documents."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from omni.nn.document_attention import Kernel, PackedAttention
from omni.nn.flex_documents import document_tiles, visible_tiles
from tests.slow_attention import slow_attention


def starts(lengths: list[int]) -> Tensor:
    documents = torch.tensor(lengths)
    return (documents.cumsum(0) - documents).repeat_interleave(documents)


def test_tiles_of_documents() -> None:
    """Tiles of two positions; 1 where some pair is visible, 2 where all are."""
    some, full = visible_tiles(starts([3, 5]), 2)
    #  positions 0 1 | 2 3 | 4 5 | 6 7; documents a a a b b b b b
    assert (some.int() + full.int()).tolist() == [
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [0, 1, 1, 0],
        [0, 1, 2, 1],
    ]


@given(st.lists(st.integers(1, 20), min_size=1, max_size=8), st.integers(1, 9))
def test_tiles_are_those_of_the_mask_of_all_pairs(lengths: list[int], tile: int) -> None:
    start = starts(lengths)
    positions, tiles = len(start), -(-len(start) // tile)
    at = torch.arange(positions)
    mask = torch.zeros(tiles * tile, tiles * tile, dtype=torch.bool)
    mask[:positions, :positions] = (at <= at[:, None]) & (at >= start[:, None])
    blocks = mask.view(tiles, tile, tiles, tile).transpose(1, 2)
    some, full = visible_tiles(start, tile)
    assert some.equal(blocks.any(-1).any(-1))
    below = torch.ones(tiles, tiles, dtype=torch.bool).tril(-1)  # a tile of one pair is left to the mask
    assert full.equal(blocks.all(-1).all(-1) & below)


def test_memory_grows_with_tiles_not_with_pairs() -> None:
    tiles = document_tiles((512,) * 256)  # 131,072 positions
    assert tiles.shape == (1, 1, 131_072, 131_072)
    assert tiles.kv_indices.shape == (1, 1, 1024, 1024)
    assert tiles.sparsity() > 99


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("heads", [(2, 2), (4, 2)], ids=str)
def test_on_cpu_the_output_equals_a_loop_over_documents(heads: tuple[int, int]) -> None:
    lengths = (130, 1, 7, 200, 46)
    q, k, v = (torch.randn(1, sum(lengths), n, 16) for n in (heads[0], heads[1], heads[1]))
    fast = PackedAttention(lengths, kernel="flex")(q, k, v, layer=0)
    slow = slow_attention(q[0], k[0], v[0], lengths)[None]
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)


@pytest.mark.cuda
@pytest.mark.parametrize("kernel", ["varlen", "flex", "buckets"])
@pytest.mark.parametrize("lengths", [(700,), (130, 1, 7, 200, 46), (64,) * 32], ids=str)
def test_on_a_gpu_all_kernels_equal_a_loop_over_documents(kernel: Kernel, lengths: tuple[int, ...]) -> None:
    """Outputs and gradients in bf16, within the rounding of its 8 bits."""
    q, k, v = (torch.randn(1, sum(lengths), n, 64).bfloat16() for n in (4, 2, 2))
    upstream = torch.randn(1, sum(lengths), 4, 64)
    exact = [x.double().requires_grad_() for x in (q, k, v)]
    slow = slow_attention(exact[0][0], exact[1][0], exact[2][0], lengths)[None]
    expected = [slow, *torch.autograd.grad(slow, exact, upstream.double())]
    own = [x.cuda().requires_grad_() for x in (q, k, v)]
    fast = PackedAttention(lengths, "cuda", kernel)(own[0], own[1], own[2], layer=0)
    found = [fast, *torch.autograd.grad(fast, own, upstream.cuda().bfloat16())]
    for got, wanted in zip(found, expected, strict=True):
        torch.testing.assert_close(got.double().cpu(), wanted, rtol=3e-2, atol=3e-2)


@pytest.mark.cuda
def test_on_a_gpu_other_documents_of_the_same_positions_do_not_compile_anew() -> None:
    before = None
    for lengths in ((300, 212), (100, 412), (256, 256)):
        q, k, v = (torch.randn(1, 512, n, 64, device="cuda").half() for n in (4, 2, 2))
        PackedAttention(lengths, "cuda", "flex")(q, k, v, layer=0)
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        assert before in (None, graphs)
        before = graphs
