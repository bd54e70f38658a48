"""One of two ranks: ``python -m torch.distributed.run --nproc-per-node 2 -m tests.optim.rank FOLDER``.

Steps a sharded model (FSDP2) with given gradients, as a model that is not sharded is stepped beside it, saves and
resumes it, and writes the largest differences to ``FOLDER/rank-r.json``.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from omni.model import OmniTransformer
from omni.nn.config import MoEConfig
from omni.optim.build import build_optimizer
from omni.optim.config import MuonConfig, OptimConfig
from tests.tiny_model import VOCABULARY, tiny_model

CONFIG = OptimConfig(optimizer="muon", lr=1e-2, warmup_steps=1, muon=MuonConfig(precision="fp32"))
EXPERTS = MoEConfig(experts=6, top_k=2, expert_width=16)


def sharded(model: OmniTransformer, mesh: DeviceMesh) -> OmniTransformer:
    """A copy of the model whose blocks, and the rest, are sharded over the ranks."""
    model = copy.deepcopy(model)
    for block in model.blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(model, mesh=mesh)
    return model


def give_gradients(model: nn.Module, step: int) -> None:
    """The same made-up gradients for sharded and whole models."""
    generator = torch.Generator().manual_seed(step)
    for parameter in model.parameters():
        gradient = torch.randn(parameter.shape, generator=generator)
        if isinstance(parameter, DTensor):
            gradient = distribute_tensor(gradient, parameter.device_mesh, parameter.placements)
        parameter.grad = gradient


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, schedule: Any, numbers: range) -> None:
    """Steps with the gradients of those numbers."""
    for number in numbers:
        give_gradients(model, number)
        optimizer.step()
        schedule.step()


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def difference(one: nn.Module, other: nn.Module) -> float:
    """Largest, over all parameters."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max((whole(a) - whole(b)).abs().max().item() for a, b in pairs)


def main(folder: Path) -> None:
    """Compare and write."""
    torch.set_num_threads(1)
    mesh = init_device_mesh("cpu", (int(os.environ["WORLD_SIZE"]),))
    alone = tiny_model(vocabulary=VOCABULARY, moe=EXPERTS)
    start = copy.deepcopy(alone)
    split = sharded(alone, mesh)
    optimizer, schedule = build_optimizer(split, CONFIG, 10)
    steps(alone, *build_optimizer(alone, CONFIG, 10), range(4))
    steps(split, optimizer, schedule, range(2))
    weights, state = get_state_dict(split, optimizer)
    dcp.save({"weights": weights, "state": state}, checkpoint_id=folder / "checkpoint")
    steps(split, optimizer, schedule, range(2, 4))

    resumed = sharded(tiny_model(seed=1, vocabulary=VOCABULARY, moe=EXPERTS), mesh)
    again, plan = build_optimizer(resumed, CONFIG, 10)
    weights, state = get_state_dict(resumed, again)
    dcp.load({"weights": weights, "state": state}, checkpoint_id=folder / "checkpoint")
    set_state_dict(resumed, again, model_state_dict=weights, optim_state_dict=state)
    for _ in range(2):
        plan.step()
    steps(resumed, again, plan, range(2, 4))
    experts = split.get_parameter("blocks.0.moe.experts.w13")
    assert isinstance(experts, DTensor)
    buffer = optimizer.state[experts]["momentum_buffer"]
    found = {
        "moved": difference(alone, start),
        "sharded": difference(split, alone),
        "resumed": difference(resumed, split),
        "experts of this rank": experts.to_local().shape[0],
        "momentum of this rank": list(buffer.to_local().shape),
    }
    rank = torch.distributed.get_rank()
    (folder / f"rank-{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
