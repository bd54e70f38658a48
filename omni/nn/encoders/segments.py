"""Pictures and clips in a batch that an encoder reads: where they lie, and how they pass it in one piece each."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from omni.modality import Modality
from omni.sequence import OmniBatch


def read_positions(batch: OmniBatch, modality: Modality) -> Bool[Tensor, "B S"]:
    """Positions of ``modality`` that are read and not learnt to be generated.

    A segment that is learnt must not pass an encoder: it sees the whole of its segment, so each position would
    know the patch or frame that it is to predict.
    """
    return batch.of(modality) & ~batch.loss


def run_lengths(mask_BS: Bool[Tensor, "B S"]) -> list[int]:
    """Lengths of the runs of marked positions, in order. Markers stand between segments, so a run is a segment."""
    none = mask_BS.new_zeros(1)
    edges = torch.cat([none, mask_BS.flatten(), none]).int().diff()
    starts, stops = ((edges == sign).nonzero().flatten() for sign in (1, -1))
    return (stops - starts).tolist()


def one_by_one(
    rows_NH: Float[Tensor, "N H"],
    lengths: list[int],
    run: Callable[[Float[Tensor, "B L H"]], Float[Tensor, "B L H"]],
) -> Float[Tensor, "N H"]:
    """``run`` each segment by itself. Those of one length go together: nothing is padded, so nothing leaks.

    Args:
        rows_NH: the segments one behind another.
        lengths: of the segments; they sum to N.
        run: takes segments of one length.
    """
    starts: dict[int, list[int]] = {}
    at = 0
    for length in lengths:
        starts.setdefault(length, []).append(at)
        at += length
    assert at == len(rows_NH), (at, rows_NH.shape)
    places = [torch.tensor(of_length)[:, None] + torch.arange(length) for length, of_length in starts.items()]
    order_N = torch.cat([place.flatten() for place in places]).to(rows_NH.device)
    parts = rows_NH.index_select(0, order_N).split([place.numel() for place in places])
    passed = [
        run(part.view(*place.shape, -1)).flatten(0, 1) for part, place in zip(parts, places, strict=True)
    ]
    return torch.cat(passed).index_select(0, order_N.argsort())
