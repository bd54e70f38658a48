"""Weights that are split over ranks (DTensors), seen from one rank."""

from __future__ import annotations

import torch
from jaxtyping import Shaped
from torch import Tensor
from torch.distributed.tensor import DTensor


def local(tensor: Tensor) -> Tensor:
    """This rank's part of a DTensor; any other tensor as it is."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def part_of(whole: Shaped[Tensor, ...], like: Tensor) -> Shaped[Tensor, ...]:
    """What of ``whole`` falls to this rank where ``like`` is split; no communication.

    Dimensions of the mesh that split the same dimension of the tensor do so from the last to the first, which is
    how FSDP splits what expert parallelism has left.
    """
    if not isinstance(like, DTensor):
        return whole
    mesh = like.device_mesh
    for dimension in reversed(range(mesh.ndim)):
        placement = like.placements[dimension]
        if placement.is_replicate():
            continue
        split = placement.dim  # type: ignore[attr-defined] # a Shard, or FSDP's strided one, which is none
        size, rank = mesh.size(dimension), mesh.get_local_rank(dimension)
        each = -(-whole.shape[split] // size)
        first = min(rank * each, whole.shape[split])
        whole = whole.narrow(split, first, min(each, whole.shape[split] - first))
    return whole


@torch.no_grad()
def fill(weight: Tensor, whole: Shaped[Tensor, ...]) -> None:
    """Copy ``whole`` into a weight, of which this rank may hold a part."""
    local(weight).copy_(part_of(whole, weight))
