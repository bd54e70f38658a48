"""Random numbers for the positions of a batch that do not depend on what else is in it.

Positions fall into groups, each with its own generator: rows while training, so that a step draws the same
however its rows are split over ranks and accumulated batches; documents in evaluation, so that packing does
not matter.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from collections.abc import Sequence as Seq

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from omni.sequence import OmniBatch


class Noise:
    """Draws for marked positions, in their order."""

    def __init__(self, group_N: Int[Tensor, " N"], seeds: Seq[int]) -> None:
        """``group_N`` is the group of each flat position; group g draws from ``seeds[g]``."""
        self.group_N = group_N
        self.generators = [torch.Generator(group_N.device).manual_seed(seed) for seed in seeds]

    @classmethod
    def of_rows(cls, batch: OmniBatch, seed: int) -> Noise:
        """The noise of training: a function of (seed, number of the row in the whole run)."""
        rows, length = batch.modality.shape
        group_N = torch.arange(rows, device=batch.modality.device).repeat_interleave(length)
        # the hash of integers is the same in every process
        seeds = [hash((seed, number)) & (2**63 - 1) for number in batch.row_numbers]
        return cls(group_N, seeds)

    @classmethod
    def of_documents(cls, batch: OmniBatch) -> Noise:
        """The noise of evaluation: a function of the document's key."""
        return cls(document_of(batch), [zlib.crc32(key.encode()) for key in batch.keys])

    def normal(self, marked_N: Bool[Tensor, " N"], *shape: int) -> Float[Tensor, "n ..."]:
        """A normal tensor of ``shape`` for each marked position."""
        return self._draw(torch.randn, marked_N, shape)

    def uniform(self, marked_N: Bool[Tensor, " N"], *shape: int) -> Float[Tensor, "n ..."]:
        """A tensor of ``shape``, uniform in [0, 1), for each marked position."""
        return self._draw(torch.rand, marked_N, shape)

    def _draw(self, draw: Callable[..., Tensor], marked_N: Tensor, shape: tuple[int, ...]) -> Tensor:
        counts = torch.bincount(self.group_N[marked_N], minlength=len(self.generators)).tolist()
        parts = [
            draw((count, *shape), generator=generator, device=generator.device)
            for count, generator in zip(counts, self.generators, strict=True)
        ]
        return torch.cat(parts)


def document_of(batch: OmniBatch) -> Int[Tensor, " N"]:
    """Number of the document of each flat position."""
    lengths = torch.tensor(batch.lengths, device=batch.modality.device)
    return torch.arange(len(lengths), device=lengths.device).repeat_interleave(lengths)
