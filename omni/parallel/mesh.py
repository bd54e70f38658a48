"""How the processes of a run are laid out: one device mesh of replicate x shard x context x expert.

Neighbours differ in ``expert`` first and in ``replicate`` last, so that what talks most stays inside a server. Each
rank reads rows of its own, but for those that differ in ``context`` only: they share out the positions of the same
rows.

Weights are split over several dimensions together. Experts lie on ``expert``, and what of them falls to a rank is
split over ``shard`` and ``context``; all other weights are split over ``shard``, ``context`` and ``expert``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from omni.nn.checks import require
from omni.nn.config import KEY as NETWORK
from omni.nn.config import ModelConfig

KEY = "trainer.strategy.init_args"
"""Where these settings stand in a run's config, for messages."""
DIMENSIONS = ("replicate", "shard", "context", "expert")


@dataclass(frozen=True, kw_only=True)
class MeshSizes:
    """Ranks along each dimension; their product is the number of processes."""

    replicate: int = 1
    """Copies of all weights."""
    shard: int = 1
    """Ranks that split weights, gradients and optimizer state (FSDP2)."""
    context: int = 1
    """Ranks that share out the positions of a row."""
    expert: int = 1
    """Ranks that share out the experts of a layer."""

    def __post_init__(self) -> None:
        for name in DIMENSIONS:
            size = getattr(self, name)
            require(size >= 1, f"{KEY}.{name} must be at least 1, got {size}")

    @property
    def world(self) -> int:
        """Processes in all."""
        return self.replicate * self.shard * self.context * self.expert

    @property
    def readers(self) -> int:
        """Ranks with rows of their own."""
        return self.world // self.context

    def reader(self, rank: int) -> int:
        """Which rows a rank reads: the same for all ranks that share out positions."""
        block, expert = divmod(rank, self.expert)
        return block // self.context * self.expert + expert

    def __str__(self) -> str:
        return " x ".join(f"{name} {getattr(self, name)}" for name in DIMENSIONS)

    def check_world(self, processes: int) -> None:
        """
        Raises:
            ValueError: the sizes don't make up the processes that there are.
        """
        rest = processes * self.shard / self.world
        require(
            self.world == processes,
            f"{KEY}: {self} = {self.world}, but there are {processes} processes (trainer.num_nodes x "
            f"trainer.devices)" + (f"; say shard {int(rest)}" if rest >= 1 and rest.is_integer() else ""),
        )

    def check_with(self, config: ModelConfig) -> None:
        """
        Raises:
            ValueError: a model that can't be laid out so; the message names both keys and what would do.
        """
        if self.context > 1:
            self._check_context(config)
        moe, ranks = config.moe, self.shard * self.context
        sparse = config.layers > moe.dense_layers
        experts = moe.experts if sparse else 1
        require(
            experts % self.expert == 0,
            f"{KEY}.expert must divide {NETWORK}.moe.experts = {experts}"
            f"{'' if sparse else ' (all layers are dense)'}, got {self.expert}; use one of {_divisors(experts)}",
        )
        each = experts // self.expert
        require(
            not sparse or any(size % ranks == 0 for size in (each, config.width, moe.expert_width)),
            f"{KEY}.shard x context = {ranks} must divide one of: the {each} experts of a rank, {NETWORK}.width = "
            f"{config.width}, {NETWORK}.moe.expert_width = {moe.expert_width}",
        )

    def _check_context(self, config: ModelConfig) -> None:
        """Ranks swap positions for heads, and positions of a row must not depend on each other elsewhere."""
        heads, kv_heads = config.heads, config.kv_heads
        require(
            heads % self.context == 0 and (kv_heads % self.context == 0 or self.context % kv_heads == 0),
            f"{KEY}.context must divide {NETWORK}.heads = {heads}, and divide or be a multiple of "
            f"{NETWORK}.kv_heads = {kv_heads}, got {self.context}",
        )
        require(
            not config.encoders.any,
            f"{KEY}.context must be 1 with {NETWORK}.encoders, which read whole pictures and clips, got "
            f"{self.context}",
        )
        require(
            config.moe.choice == "positions" and not config.moe.balance_loss,
            f"{KEY}.context must be 1 with {NETWORK}.moe.choice experts or {NETWORK}.moe.balance_loss, which "
            f"compare positions of whole rows, got {self.context}",
        )


def _divisors(value: int) -> str:
    return ", ".join(str(size) for size in range(1, value + 1) if value % size == 0)


@dataclass(frozen=True, eq=False)
class Meshes:
    """One mesh and what FSDP takes of it: the ranks that split, behind those with copies where there are any."""

    all: DeviceMesh
    """``DIMENSIONS``."""
    experts: DeviceMesh
    """Ranks that split one rank's experts: shard x context."""
    weights: DeviceMesh
    """Ranks that split all other weights: shard x context x expert."""


def build_mesh(device: torch.device | str, sizes: MeshSizes) -> Meshes:
    """The mesh of all processes."""
    shape = tuple(getattr(sizes, name) for name in DIMENSIONS)
    mesh = init_device_mesh(torch.device(device).type, shape, mesh_dim_names=DIMENSIONS)

    def split_over(*names: str) -> DeviceMesh:
        flat = mesh[names]._flatten("_".join(names))
        return DeviceMesh._concatenate([mesh["replicate"], flat]) if sizes.replicate > 1 else flat

    return Meshes(mesh, split_over("shard", "context"), split_over("shard", "context", "expert"))
