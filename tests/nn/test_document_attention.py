"""Packed attention equals a loop over documents, each with a plain softmax over what is before it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from omni.nn.document_attention import Kernel, PackedAttention, bucketed, kernel_for
from tests.slow_attention import slow_attention

PACKINGS = [(1,), (1, 1, 1), (6,), (5, 5, 5), (3, 1, 4), (7, 1, 8, 2, 30, 9, 10, 1)]
HEADS = [(4, 4), (4, 2), (4, 1)]


def inputs(positions: int, heads: int, kv_heads: int, dtype: torch.dtype, rows: int = 1) -> list[Tensor]:
    generator = torch.Generator().manual_seed(positions)
    return [
        torch.randn(rows, positions // rows, count, 8, generator=generator).to(dtype).requires_grad_()
        for count in (heads, kv_heads, kv_heads)
    ]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["fp64", "fp32"])
@pytest.mark.parametrize(("heads", "kv_heads"), HEADS)
@pytest.mark.parametrize("lengths", PACKINGS, ids=str)
def test_equals_a_loop_over_documents(
    lengths: tuple[int, ...], heads: int, kv_heads: int, dtype: torch.dtype
) -> None:
    q, k, v = inputs(sum(lengths), heads, kv_heads, dtype)
    rtol, atol = (1e-9, 1e-11) if dtype is torch.float64 else (1e-4, 1e-5)
    fast = PackedAttention(lengths)(q, k, v, layer=0)
    slow = slow_attention(q[0], k[0], v[0], lengths)[None]
    torch.testing.assert_close(fast, slow, rtol=rtol, atol=atol)
    upstream = torch.randn_like(slow)
    expected = torch.autograd.grad(slow, (q, k, v), upstream)
    for got, wanted in zip(torch.autograd.grad(fast, (q, k, v), upstream), expected, strict=True):
        torch.testing.assert_close(got, wanted, rtol=rtol, atol=atol)


def test_documents_of_several_rows_are_taken_one_after_another() -> None:
    q, k, v = inputs(12, 4, 2, torch.float64, rows=2)
    lengths = (2, 4, 5, 1)  # row 0: two documents of 2 and 4 positions; row 1: 5 and 1
    fast = PackedAttention(lengths)(q, k, v, layer=0)
    slow = slow_attention(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), lengths)
    torch.testing.assert_close(fast, slow.view_as(q))


def test_who_sees_whom() -> None:
    """Row t of the matrix marks the positions whose values reach the output of position t."""
    lengths = (3, 1, 2)
    q, k, v = inputs(6, 1, 1, torch.float64)
    out = PackedAttention(lengths)(q, k, v, layer=0)
    seen = torch.stack([torch.autograd.grad(out[0, t].sum(), v, retain_graph=True)[0][0] for t in range(6)])
    assert (seen != 0).any((2, 3)).int().tolist() == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 0, 1, 1],
    ]


def test_buckets_hold_documents_of_similar_length() -> None:
    """A short document repeats its last position, where no query of its own comes after."""
    assert [bucket.tolist() for bucket in bucketed((3, 1, 4, 12, 10))] == [
        [[3, 3, 3], [0, 1, 2]],
        [[4, 5, 6, 7]],
        [[20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 29, 29], [8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19]],
    ]


def test_lengths_must_fill_the_rows() -> None:
    q, k, v = inputs(6, 1, 1, torch.float32)
    with pytest.raises(ValueError, match="documents of 5 positions, but 6 queries"):
        PackedAttention((3, 2))(q, k, v, layer=0)


@pytest.mark.parametrize(
    ("device", "capability", "dtype", "channels", "expected"),
    [
        ("cpu", None, torch.bfloat16, 64, "buckets"),
        ("cuda", (9, 0), torch.float32, 64, "buckets"),
        ("cuda", (9, 0), torch.bfloat16, 64, "varlen"),
        ("cuda", (8, 0), torch.float16, 256, "varlen"),
        ("cuda", (9, 0), torch.bfloat16, 20, "flex"),
        ("cuda", (9, 0), torch.bfloat16, 12, "buckets"),
        ("cuda", (7, 5), torch.float16, 64, "flex"),
        ("cuda", (6, 1), torch.float16, 64, "buckets"),
    ],
)
def test_the_kernel_is_chosen_by_what_the_device_can(
    device: str,
    capability: tuple[int, int] | None,
    dtype: torch.dtype,
    channels: int,
    expected: Kernel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert kernel_for(torch.device(device), dtype, channels) == expected


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_equals_a_loop_over_documents_on_a_gpu(dtype: torch.dtype) -> None:
    lengths = PACKINGS[-1]
    q, k, v = (x.detach() for x in inputs(sum(lengths), 4, 2, dtype))
    fast = PackedAttention(lengths, "cuda")(q.cuda(), k.cuda(), v.cuda(), layer=0).cpu()
    slow = slow_attention(q[0].float(), k[0].float(), v[0].float(), lengths)
    torch.testing.assert_close(fast[0].float(), slow, rtol=2e-2, atol=2e-2)
