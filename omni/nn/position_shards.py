"""Context parallelism: the ranks of a group share out the positions of every row.

All but attention works position by position, so a rank computes its own part of each row. For attention the ranks
swap: each gets all positions of some of the heads and attends to documents as one rank alone would, whatever
borders they cross (all-to-all of heads, DeepSpeed-Ulysses, arXiv 2309.14509). Every rank reads the whole batch,
whose ids are small beside what is computed from them.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor
from torch.distributed._functional_collectives import all_to_all_single

from omni.nn.document_attention import AttentionContext, PackedAttention
from omni.sequence import OmniBatch


class PositionShards:
    """This rank's part of the positions of every row: neighbours, as many on each rank."""

    def __init__(self, group: dist.ProcessGroup) -> None:
        self.group, self.rank, self.ranks = group, group.rank(), group.size()

    def part(self, length: int) -> slice:
        """Of the positions of a row.

        Raises:
            ValueError: a length that the ranks don't divide.
        """
        if length % self.ranks:
            raise ValueError(
                f"data.plan.row_length must be a multiple of the {self.ranks} ranks of the context dimension, "
                f"got rows of {length}"
            )
        each = length // self.ranks
        return slice(self.rank * each, (self.rank + 1) * each)

    def own(self, batch: OmniBatch) -> OmniBatch:
        """What this rank computes of a batch."""
        return batch.part(self.part(batch.modality.shape[1]))

    def attention(self, batch: OmniBatch) -> AttentionContext:
        """Attention over whole documents, for queries, keys and values of this rank's part."""
        return SwappedAttention(PackedAttention(batch.lengths, batch.modality.device), self)


class SwappedAttention:
    """Swaps positions for heads, attends, and swaps back."""

    def __init__(self, whole: PackedAttention, shards: PositionShards) -> None:
        self.whole, self.shards = whole, shards

    def __call__(
        self,
        q_BSAC: Float[Tensor, "B s A C"],
        k_BSGC: Float[Tensor, "B s G C"],
        v_BSGC: Float[Tensor, "B s G C"],
        layer: int,
    ) -> Float[Tensor, "B s A C"]:
        """Attention output of this rank's positions."""
        ranks, group = self.shards.ranks, self.shards.group
        if k_BSGC.shape[2] < ranks:  # each rank needs a head of its own
            times = ranks // k_BSGC.shape[2]
            k_BSGC, v_BSGC = (x.repeat_interleave(times, dim=2) for x in (k_BSGC, v_BSGC))
        dtype = v_BSGC.dtype  # under autocast queries and keys leave their norm in fp32
        by_rank = [x.to(dtype).unflatten(2, (ranks, -1)) for x in (q_BSAC, k_BSGC, v_BSGC)]
        widths = [x.shape[3] for x in by_rank]
        sent = torch.cat(by_rank, dim=3).permute(2, 0, 1, 3, 4)  # (to rank, B, s, its heads, C)
        got = all_to_all_single(sent.contiguous(), None, None, group)
        whole = got.transpose(0, 1).flatten(1, 2)  # (B, S, heads of this rank, C)
        q, k, v = whole.split(widths, dim=2)
        mixed = self.whole(q, k, v, layer).unflatten(1, (ranks, -1)).transpose(0, 1)
        back = all_to_all_single(
            mixed.contiguous(), None, None, group
        )  # (heads of rank, B, s, some heads, C)
        return back.permute(1, 2, 0, 3, 4).flatten(2, 3)
