"""A model laid out for a cluster that isn't there: a mistake in the mesh shows before the cluster does.

The processes are pretended (torch's fake process group) and weights take no memory (meta device); what runs is the
code that shares out a real model.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch.distributed as dist
from torch import nn

from omni.model import OmniTransformer
from omni.nn.config import ModelConfig, Vocabulary
from omni.nn.moe.experts import Experts
from omni.nn.sharded import local
from omni.nn.weightless import weightless
from omni.parallel.layout import Sharding, lay_out
from omni.parallel.mesh import MeshSizes, build_mesh

FP32, HALF = 4, 2
AHEAD = 2
"""Blocks that are whole at once: the one that runs and the one that is fetched ahead."""


@dataclass(frozen=True, kw_only=True)
class RankBytes:
    """What one rank holds of a model, in bytes."""

    parameters: int
    """Numbers, not bytes: those of the whole model."""
    experts: int
    """This rank's part of the experts, in fp32."""
    others: int
    """This rank's part of all other weights, in fp32."""
    gradients: int
    """As large as the weights."""
    optimizer: int
    """Both moments of AdamW."""
    gathered: int
    """Most weights that are whole at once: the heads' and embeddings', and two blocks' (one is fetched ahead)."""

    @property
    def total(self) -> int:
        """All parts; activations come on top (``omni plan``)."""
        return sum(value for name, value in asdict(self).items() if name != "parameters")


def dry_run(
    config: ModelConfig,
    vocabulary: Vocabulary,
    sizes: MeshSizes,
    sharding: Sharding = Sharding(),  # noqa: B008 (frozen)
    rank: int = 0,
) -> RankBytes:
    """What ``rank`` holds; rank 0 has the most where something can't be split evenly.

    Raises:
        ValueError: the mesh doesn't fit the model.
    """
    sizes.check_with(config)
    with weightless():
        model = OmniTransformer(config, vocabulary)
    parameters = sum(p.numel() for p in model.parameters())
    with _pretended(sizes.world, rank):
        lay_out(model, build_mesh("cpu", sizes), sharding)
        experts = {
            p for module in model.modules() if isinstance(module, Experts) for p in module.parameters()
        }
        mine = sum(local(p).numel() for p in experts)
        others = sum(local(p).numel() for p in model.parameters() if p not in experts)
        own = FP32 * (mine + others)
        return RankBytes(
            parameters=parameters,
            experts=FP32 * mine,
            others=FP32 * others,
            gradients=own,
            optimizer=2 * own,
            gathered=_gathered(model, sizes, sharding),
        )


def _gathered(model: OmniTransformer, sizes: MeshSizes, sharding: Sharding) -> int:
    """Bytes of the weights that are whole at once."""

    def size_of(unit: nn.Module, inside: list[nn.Module]) -> int:
        apart = {p for other in inside for p in other.parameters()}
        numbers = sum(p.numel() for p in unit.parameters() if p not in apart)
        if not isinstance(unit, Experts):
            return FP32 * numbers
        return (HALF if sharding.gather == "bf16" else FP32) * numbers // sizes.expert

    blocks = []
    for block in model.blocks:
        experts: list[nn.Module] = [module for module in block.modules() if isinstance(module, Experts)]
        blocks.append(size_of(block, experts) + sum(size_of(module, []) for module in experts))
    several = sorted(blocks)[-AHEAD:] if sharding.reshard else blocks
    return size_of(model, list(model.blocks)) + sum(several)


@contextmanager
def _pretended(world: int, rank: int) -> Iterator[None]:
    from torch.testing._internal.distributed.fake_pg import FakeStore  # loads torch's test helpers

    if dist.is_initialized():
        raise RuntimeError("a dry run pretends to be a process group, and this process is in one already")
    dist.init_process_group("fake", rank=rank, world_size=world, store=FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()
