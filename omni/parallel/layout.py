"""From a model in one process to one that ranks share: experts, positions, then weights (FSDP2).

Parameters stay DTensors over the one mesh, so distributed checkpoints know what they are: experts are split over
``expert`` and again by FSDP, all others by FSDP alone. Gradients are summed over the ranks, not averaged, since
losses are divided by the counts of the whole step already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import (
    CPUOffloadPolicy,
    FSDPModule,
    MixedPrecisionPolicy,
    OffloadPolicy,
    fully_shard,
)
from torch.distributed.tensor import DTensor, Shard

from omni.model import OmniTransformer
from omni.nn.moe.exchange import ExpertExchange
from omni.nn.moe.experts import Experts
from omni.nn.moe.layer import MoE
from omni.nn.position_shards import PositionShards
from omni.nn.sharded import local
from omni.parallel.mesh import Meshes

Travel = Literal["fp32", "bf16"]
DTYPES = {"fp32": None, "bf16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Sharding:
    """How weights are split and gathered."""

    reshard: bool = True
    """Free a block's gathered weights behind its forward pass and gather them again in the backward pass (ZeRO-3);
    otherwise they stay until then (ZeRO-2)."""
    gather: Travel = "fp32"
    """Type in which experts' weights are gathered. Under ``bf16-mixed`` their products round them anyway, so
    ``bf16`` gives the same numbers for half the bytes. All other weights travel in fp32."""
    reduce: Travel = "fp32"
    """Type in which gradients are summed over ranks."""
    offload: bool = False
    """Keep this rank's weights, gradients and optimizer state in the memory of the CPU."""


def lay_out(model: OmniTransformer, meshes: Meshes, sharding: Sharding) -> None:
    """Share the model out over the ranks of the meshes of ``build_mesh``, in place.

    The sizes must fit the model (``MeshSizes.check_with``). Weights may lie on the meta device.
    """
    context, expert = (meshes.all[name] for name in ("context", "expert"))
    if context.size() > 1:
        model.shards = PositionShards(context.get_group())
    for block in model.blocks:
        for module in block.modules():
            if isinstance(module, MoE):
                if expert.size() > 1:
                    split_experts(module.experts, expert)
                _unit(module.experts, meshes.experts, sharding, sharding.reshard, sharding.gather)
        _unit(block, meshes.weights, sharding, sharding.reshard)
    _unit(model, meshes.weights, sharding, reshard=False)  # the heads need its weights at once


def split_experts(experts: Experts, mesh: DeviceMesh) -> None:
    """Keep this rank's experts of the ``expert`` dimension, as DTensors, and exchange rows with the other ranks."""
    ranks, rank = mesh.size(), mesh.get_local_rank()
    for name, weight in list(experts.named_parameters()):
        mine = weight.detach().chunk(ranks)[rank].clone()
        split = DTensor.from_local(mine, mesh, [Shard(0)], run_check=False)
        setattr(experts, name, nn.Parameter(split, weight.requires_grad))
    experts.exchange = ExpertExchange(mesh.get_group())


def _unit(
    module: nn.Module, mesh: DeviceMesh, sharding: Sharding, reshard: bool, gather: Travel = "fp32"
) -> None:
    """Split the weights of a module that no module inside has split; they are gathered together."""
    ranks = mesh.size(mesh.ndim - 1)

    def dimension(weight: nn.Parameter) -> Shard:
        """The first that the ranks divide: whole experts or rows where they can, so that all hold as much."""
        even = (number for number, size in enumerate(local(weight).shape) if size % ranks == 0)
        return Shard(next(even, 0))

    fully_shard(
        module,
        mesh=mesh,
        reshard_after_forward=reshard,
        shard_placement_fn=dimension,
        mp_policy=MixedPrecisionPolicy(DTYPES[gather], _reduced(sharding), cast_forward_inputs=False),
        offload_policy=_offloaded(mesh) if sharding.offload else OffloadPolicy(),
    )
    assert isinstance(module, FSDPModule), type(module)
    module.set_gradient_divide_factor(1.0)
    module.set_force_sum_reduction_for_comms(True)  # gloo has no other, and 1.0 is no mean


def _reduced(sharding: Sharding) -> torch.dtype | None:
    if sharding.reduce == "fp32" and sharding.gather == "fp32":
        return None  # as they are: fp32, or fp64 in tests
    return torch.float32 if sharding.reduce == "fp32" else torch.bfloat16


def _offloaded(mesh: DeviceMesh) -> CPUOffloadPolicy:
    return CPUOffloadPolicy(pin_memory=mesh.device_type == "cuda")


def take_memory(model: OmniTransformer, device: torch.device | str) -> None:
    """Give weights on the meta device memory for this rank's parts, still undrawn. Tied weights stay one."""
    made: dict[nn.Parameter, nn.Parameter] = {}
    for module in model.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            if weight.is_meta:
                if weight not in made:
                    made[weight] = nn.Parameter(torch.empty_like(weight, device=device), weight.requires_grad)
                setattr(module, name, made[weight])
