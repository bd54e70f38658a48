"""One of four ranks: ``python -m torch.distributed.run --nproc-per-node 4 -m tests.parallel.checkpoint.rank FOLDER``.

Saves at one world, loads at others and trains on, next to the same model as a whole; then breaks things.
"""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from omni.parallel.checkpoint import rng
from omni.parallel.checkpoint.contents import examine, pack, unpack
from omni.parallel.checkpoint.names import WEIGHTS, give_numbers, join
from omni.parallel.checkpoint.saver import SaveError, Saver, Target
from omni.parallel.checkpoint.strategy import load_sharded
from omni.snapshot.folder import newest_whole
from omni.snapshot.manifest import read_manifest
from tests.parallel.checkpoint.trained import check_trainer
from tests.snapshot.made import flip

WORLDS = (2, 4, 1, 2)
"""Saved at each, and loaded at the next."""
EXPERTS = "moe.experts.w13"


class Experts(nn.Module):
    """Six experts in one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.w13 = nn.Parameter(torch.empty(6, 2, 3))


class Net(nn.Module):
    """Uneven matrices (FSDP2), a stack of experts (Shard(0)), a buffer, and a weight with two names."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.first, self.second = nn.Linear(3, 5), nn.Linear(5, 3, bias=False)
        self.tied = nn.Linear(5, 3, bias=False)
        self.tied.weight = self.second.weight
        self.moe = nn.ModuleDict({"experts": Experts()})
        self.bias: Tensor
        self.register_buffer("bias", torch.empty(6))
        with torch.no_grad():
            for tensor in (*self.parameters(), self.bias):
                tensor.normal_(generator=generator)

    def spread(self, mesh: DeviceMesh) -> Net:
        """Shard it as training would."""
        fully_shard(self.first, mesh=mesh)
        fully_shard([self.second, self.tied], mesh=mesh)
        experts = self.moe["experts"]
        assert isinstance(experts, Experts)
        experts.w13 = nn.Parameter(distribute_tensor(experts.w13.detach(), mesh, [Shard(0)]))
        return self


def adamw(net: Net) -> torch.optim.Optimizer:
    matrices: dict[str, Any] = {"params": [p for p in net.parameters() if p.ndim > 1]}
    return torch.optim.AdamW([matrices, {"params": [net.first.bias], "lr": 0.1}], foreach=False)


def step(net: Net, optimizer: torch.optim.Optimizer, seed: int) -> None:
    """A step on gradients that are the same however they are spread."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        whole = torch.randn(parameter.shape, generator=generator)
        if isinstance(parameter, DTensor):
            whole = distribute_tensor(whole, parameter.device_mesh, parameter.placements)
        parameter.grad = whole
    optimizer.step()
    net.bias += 1


def whole(tensor: Tensor) -> Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def assert_same(
    net: Net, optimizer: torch.optim.Optimizer, reference: Net, other: torch.optim.Optimizer
) -> None:
    state, expected = net.state_dict(), reference.state_dict()
    assert state.keys() == expected.keys()
    for name in state:
        assert torch.equal(whole(state[name]), expected[name]), name
    for (name, one), two in zip(net.named_parameters(), reference.parameters(), strict=True):
        for key, value in other.state[two].items():
            assert torch.equal(whole(optimizer.state[one][key]), value), (name, key)


def checkpoint_of(net: Net, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return {"state_dict": net.state_dict(), "optimizer_states": [optimizer.state_dict()], "place": (1, [2])}


def target(folder: Path, files: dict[str, bytes], **settings: Any) -> Target:
    return Target(**{"folder": folder, "run": "r", "step": 1, "files": files, "expected": {}, **settings})


def check_worlds(folder: Path, meshes: dict[int, DeviceMesh], groups: dict[int, Any]) -> None:
    """Weights, optimizer and the rest go from world to world, and training goes on as if nothing had been."""
    reference = Net(seed=0)
    optimizer = adamw(reference)
    shapes = {WEIGHTS + EXPERTS: (6, 2, 3)}
    for turn, world in enumerate(WORLDS):
        step(reference, optimizer, seed=turn)
        if dist.get_rank() < world:
            net = Net(seed=turn).spread(meshes[world]) if world > 1 else Net(seed=turn)
            own = adamw(net)
            if turn:
                manifest = read_manifest(folder / f"{turn - 1}.ckpt")
                tensors = load_sharded(folder / f"{turn - 1}.ckpt", manifest, net, [own], groups[world])
                checkpoint = join(tensors, unpack(folder / f"{turn - 1}.ckpt"))
                assert checkpoint["place"] == (1, [2])
                give_numbers(checkpoint, net, [own])
                own.load_state_dict(checkpoint["optimizer_states"][0])
            step(net, own, seed=turn)
            assert_same(net, own, reference, optimizer)
            saver = Saver(groups[world])
            tensors, files = pack(checkpoint_of(net, own), net, [own])
            assert WEIGHTS + "tied.weight" not in tensors
            saver.save(tensors, target(folder / f"{turn}.ckpt", files, expected=shapes))
            step(net, own, seed=99)  # while it is being written
            assert saver.wait()
            saver.close()
            manifest = read_manifest(folder / f"{turn}.ckpt")
            assert manifest.world == world
            assert len(manifest.tensors[WEIGHTS + EXPERTS].pieces) == world
        dist.barrier()


def check_lost_experts(folder: Path, meshes: dict[int, DeviceMesh]) -> None:
    """Ranks that give their share the name of the whole, and a file that is lost, are named with their experts."""
    share = {WEIGHTS + EXPERTS: torch.randn(6, 2, 3).chunk(4)[min(2, dist.get_rank())]}
    saver = Saver()
    saver.save(share, target(folder / "lost.ckpt", {}, expected={WEIGHTS + EXPERTS: (6, 2, 3)}))
    with pytest.raises(
        SaveError, match=rf"{EXPERTS}: \[2, 2, 3\] for \[6, 2, 3\]: experts 2, 3, 4, 5 are not"
    ):
        saver.wait()
    net = Net(0).spread(meshes[4])
    with pytest.raises(
        ValueError, match=r"2 missing: weights/bias, .*; 1 unexpected: .*; 1 of another shape"
    ):
        manifest = read_manifest(folder / "1.ckpt")
        tensors = dict(manifest.tensors)
        tensors["weights/other"] = tensors.pop(WEIGHTS + "bias")
        tensors[WEIGHTS + "first.bias"] = tensors[WEIGHTS + "first.weight"]
        del tensors[WEIGHTS + EXPERTS]
        load_sharded(folder / "1.ckpt", type(manifest)(**{**vars(manifest), "tensors": tensors}), net, [])


def check_errors_reach_all_ranks(folder: Path) -> None:
    """One rank's disk is full: no checkpoint, all are told, and the next save works."""
    saver, rank = Saver(), dist.get_rank()
    tensors = {WEIGHTS + str(number): torch.zeros(9) for number in range(8)}
    with pytest.MonkeyPatch.context() as patch:
        if rank == 1:
            patch.setattr("omni.snapshot.storage.save_file", full_disk)
        saver.save(tensors, target(folder / "full.ckpt", {}))
        with pytest.raises(SaveError, match=r"full\.ckpt: not saved; rank 1: OSError: .*No space left"):
            saver.wait()
    assert not (folder / "full.ckpt").exists()
    saver.save(tensors, target(folder / "full.ckpt", {}))
    saver.wait()
    if rank == 0:
        shutil.copytree(folder / "full.ckpt", folder / "flipped.ckpt")
        flip(folder / "flipped.ckpt" / "weights-00003.safetensors", -1)
        (folder / "last.ckpt").unlink()
        (folder / "last.ckpt").symlink_to("flipped.ckpt")
    dist.barrier()
    assert "weights-00003.safetensors: checksum" in examine(folder / "flipped.ckpt")[1][0]
    told: list[str] = []
    assert newest_whole(folder / "last.ckpt", examine, told.append)[0].name == "full.ckpt"
    assert len(told) == 1 and "weights-00003.safetensors: checksum" in told[0]


def full_disk(*_: Any) -> None:
    raise OSError(28, "No space left on device")


def check_generators() -> None:
    """Each rank's generators go on; one rank more has its own."""
    lightning.seed_everything(dist.get_rank(), verbose=False)
    states = rng.states_of_all()
    drawn = (random.gauss(), np.random.normal(), float(torch.rand(1)))
    rng.restore(states, dist.get_rank())
    assert (random.gauss(), np.random.normal(), float(torch.rand(1))) == drawn
    firsts = []
    for rank in range(6):
        rng.restore(states, rank)
        firsts.append(float(torch.rand(1)))
    assert len(set(firsts)) == 6


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    meshes = {world: DeviceMesh("cpu", list(range(world))) for world in (2, 4)}
    groups = {world: dist.new_group(list(range(world)), backend="gloo") for world in (1, 2, 4)}
    check_worlds(folder, meshes, groups)
    check_lost_experts(folder, meshes)
    check_errors_reach_all_ranks(folder)
    check_generators()
    check_trainer(folder / "trained")
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
