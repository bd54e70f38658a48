"""Causal attention inside each document of packed rows, with no dense mask.

On CPU, and in fp32: documents of similar length are gathered into one right-padded batch and run through
``is_causal`` scaled-dot-product attention. No mask is needed: what pads a document stands behind its last
query. On CUDA in 16 bits the variable-length kernel takes the documents as they lie, or FlexAttention where the
GPU has no such kernel. All equal a loop over documents.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

Kernel = Literal["buckets", "varlen", "flex"]
"""Batches of similar length, the variable-length kernel, FlexAttention."""
PADDING_WASTE = 1.25
"""Documents share a bucket while the longest is at most this much longer than the shortest."""


@runtime_checkable
class AttentionContext(Protocol):
    """Knows which earlier positions each query may see."""

    def __call__(
        self,
        q_BSAC: Float[Tensor, "B S A C"],
        k_BSGC: Float[Tensor, "B S G C"],
        v_BSGC: Float[Tensor, "B S G C"],
        layer: int,
    ) -> Float[Tensor, "B S A C"]:
        """Attention output of ``layer``."""
        ...


class PackedAttention:
    """Attention for rows of documents whose lengths are known; built once per batch, used by every layer."""

    def __init__(
        self, lengths: Seq[int], device: torch.device | str = "cpu", kernel: Kernel | None = None
    ) -> None:
        """``kernel`` is by default what ``kernel_for`` finds."""
        self.lengths = tuple(lengths)
        self.device = torch.device(device)
        self.kernel = kernel

    @cached_property
    def boundaries(self) -> Int[Tensor, " ends"]:
        """Flat positions between documents, from 0 to N."""
        return torch.tensor([0, *self.lengths], device=self.device).cumsum(0).to(torch.int32)

    @cached_property
    def buckets(self) -> list[Int[Tensor, "documents longest"]]:
        """See ``bucketed``."""
        return [bucket.to(self.device) for bucket in bucketed(self.lengths)]

    @cached_property
    def back(self) -> Int[Tensor, " N"]:
        """Place of each flat position in the concatenation of all (padded) buckets."""
        flat = torch.cat([bucket.flatten() for bucket in self.buckets])
        real = torch.cat([_real_slots(bucket) for bucket in self.buckets])
        back_N = torch.empty(sum(self.lengths), dtype=torch.long, device=self.device)
        back_N[flat[real]] = torch.arange(len(flat), device=self.device)[real]
        return back_N

    @cached_property
    def tiles(self) -> Any:
        """See ``document_tiles``."""
        from omni.nn.flex_documents import document_tiles  # loads torch's compiler: a third of loading torch

        return document_tiles(self.lengths, self.device)

    def __call__(
        self,
        q_BSAC: Float[Tensor, "B S A C"],
        k_BSGC: Float[Tensor, "B S G C"],
        v_BSGC: Float[Tensor, "B S G C"],
        layer: int,
    ) -> Float[Tensor, "B S A C"]:
        """Causal attention inside each document."""
        q, k, v = (x.flatten(0, 1) for x in (q_BSAC, k_BSGC, v_BSGC))  # (N, heads, C)
        if len(q) != sum(self.lengths):
            raise ValueError(f"documents of {sum(self.lengths)} positions, but {len(q)} queries")
        kernel = self.kernel or kernel_for(v.device, v.dtype, v.shape[-1])
        attend = {"buckets": self._bucketed, "varlen": self._varlen, "flex": self._flex}[kernel]
        q, k = q.to(v.dtype), k.to(v.dtype)  # under autocast they leave their norm in fp32
        return attend(q, k, v).reshape(q_BSAC.shape)

    def _bucketed(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if len(set(self.lengths)) == 1:  # they lie as a batch already
            return _causal(*(x.unflatten(0, (len(self.lengths), -1)) for x in (q, k, v)))
        outputs = [_causal(*(_rows(x, bucket) for x in (q, k, v))) for bucket in self.buckets]
        return torch.cat(outputs).index_select(0, self.back)

    def _varlen(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        from torch.nn.attention.varlen import varlen_attn  # CUDA builds only

        groups = q.shape[1] // k.shape[1]
        k, v = (x.repeat_interleave(groups, dim=1) for x in (k, v))
        ends, longest = self.boundaries, max(self.lengths)
        mixed = varlen_attn(q, k, v, ends, ends, longest, longest, window_size=(-1, 0))
        assert isinstance(mixed, Tensor), type(mixed)  # a tuple only where more outputs are asked for
        return mixed

    def _flex(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        from omni.nn.flex_documents import attend_by_tiles

        return attend_by_tiles(q, k, v, self.tiles)


def kernel_for(device: torch.device, dtype: torch.dtype, channels: int) -> Kernel:
    """The fastest kernel that the device has for heads of so many channels.

    The variable-length kernel is FlashAttention's: 16 bits, compute capability 8.0, at most 256 channels in
    eights. FlexAttention is Triton's: capability 7.0, at least 16 channels.
    """
    if device.type != "cuda" or dtype not in (torch.float16, torch.bfloat16):
        return "buckets"
    capability = torch.cuda.get_device_capability(device)
    if capability >= (8, 0) and channels % 8 == 0 and channels <= 256:
        return "varlen"
    return "flex" if capability >= (7, 0) and channels >= 16 else "buckets"


def bucketed(lengths: Seq[int]) -> list[Int[Tensor, "documents longest"]]:
    """Flat positions of the documents, grouped by similar length; a short one repeats its last position."""
    lengths_D = torch.tensor(lengths)
    starts_D = lengths_D.cumsum(0) - lengths_D
    order = lengths_D.argsort(stable=True).tolist()
    groups: list[list[int]] = []
    for document in order:
        shortest = lengths[groups[-1][0]] if groups else 0
        if groups and lengths[document] <= max(shortest * PADDING_WASTE, shortest + 2):
            groups[-1].append(document)
        else:
            groups.append([document])
    buckets = []
    for group in groups:
        longest = lengths[group[-1]]
        offsets = torch.arange(longest).expand(len(group), -1)
        last = (lengths_D[group] - 1).unsqueeze(1)
        buckets.append(starts_D[group].unsqueeze(1) + offsets.minimum(last))
    return buckets


def _causal(
    q: Float[Tensor, "D L A C"], k: Float[Tensor, "D L G C"], v: Float[Tensor, "D L G C"]
) -> Float[Tensor, "slots A C"]:
    """Causal attention of a batch of documents, its rows one behind another."""
    gqa = q.shape[2] != k.shape[2]
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=gqa)
    return mixed.transpose(1, 2).flatten(0, 1)


def _rows(x: Float[Tensor, "N heads C"], index: Int[Tensor, "D L"]) -> Float[Tensor, "D L heads C"]:
    """``x[index]``, whose backward takes 15 times as long on CPU."""
    return x.index_select(0, index.flatten()).unflatten(0, index.shape)


def _real_slots(bucket: Int[Tensor, "documents longest"]) -> Tensor:
    """Flat mask of the slots of a bucket that are not repeats."""
    first = torch.ones_like(bucket[:, :1], dtype=torch.bool)
    return torch.cat([first, bucket[:, 1:] != bucket[:, :-1]], dim=1).flatten()
