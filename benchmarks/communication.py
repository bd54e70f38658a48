"""Bytes that a rank sends in a step on each mesh, counted, against what ``omni plan`` reckons with.

    python -m torch.distributed.run --standalone --nproc-per-node 2 -m benchmarks.communication

Every collective of a forward and a backward pass is counted as it is called (gloo, fp32, random weights); for
all-gather and reduce-scatter a rank sends (n - 1) / n of the whole, for all-reduce twice that. The plan's bytes are
for 16-bit rows and weights, so its all-to-all is doubled here, and gathered weights as well.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from omni.losses import compute_losses
from omni.model import OmniTransformer
from omni.nn.config import AudioHeadConfig, ImageHeadConfig, ModelConfig, MoEConfig, Vocabulary
from omni.parallel.layout import Sharding, lay_out
from omni.parallel.mesh import MeshSizes, build_mesh
from omni.planning.communication import traffic_of
from omni.planning.hardware import Efficiency, gpu_named
from omni.planning.meshes import Mesh
from omni.planning.parameters import count_parameters
from omni.planning.workload import Workload
from omni.sequence import OmniBatch

VOCABULARY = Vocabulary(text=512, patch_values=48, max_grid=8, codebooks=4, codebook_size=64)
CONFIG = ModelConfig(
    width=256,
    layers=4,
    heads=8,
    kv_heads=4,
    moe=MoEConfig(experts=8, top_k=2, expert_width=128),
    image=ImageHeadConfig(width=64, depth=1),
    audio=AudioHeadConfig(width=64, depth=1),
)
ROWS, LENGTH = 2, 512
GATHERS, SCATTERS = ("_allgather_base_",), ("_reduce_scatter_base_",)
SWAPS = ("alltoall_base_", "all_to_all_single")
SUMS = ("allreduce_", "all_reduce")


class Sent(TorchDispatchMode):
    """Counts the bytes that this rank sends, by kind of collective."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace in ("c10d", "_c10d_functional"):
            name = func._schema.name.rpartition("::")[2]
            world = dist.get_world_size()
            away = (world - 1) / world
            if name in GATHERS:
                self.bytes["all-gather"] += round(args[0].nbytes * away)
            elif name in SCATTERS:
                self.bytes["reduce-scatter"] += round(args[1].nbytes * away)
            elif name in SWAPS:
                self.bytes["all-to-all"] += _swapped(name, args)
            elif name in SUMS:
                tensors = args[0] if isinstance(args[0], list | tuple) else [args[0]]
                self.bytes["all-reduce"] += round(sum(2 * t.nbytes * away for t in tensors))
        return func(*args, **(kwargs or {}))


def _swapped(name: str, args: Any) -> int:
    """Bytes of what doesn't stay here."""
    functional = name == "all_to_all_single"
    sent: Tensor = args[0] if functional else args[1]
    splits = args[2] if functional else args[4]
    rows = splits or [len(sent) // dist.get_world_size()] * dist.get_world_size()
    each = sent.nbytes // max(1, len(sent))
    return (sum(rows) - rows[dist.get_rank()]) * each


def text_batch(rows: int, first: int) -> OmniBatch:
    """Rows of one document each."""
    generator = torch.Generator().manual_seed(first)
    shape = (rows, LENGTH)
    return OmniBatch(
        modality=torch.zeros(shape, dtype=torch.uint8),
        text_ids=torch.randint(VOCABULARY.text, shape, generator=generator),
        coords=torch.arange(LENGTH).expand(rows, -1).unsqueeze(-1).expand(-1, -1, 3),
        loss=torch.ones(shape, dtype=torch.bool),
        patches=torch.zeros(0, VOCABULARY.patch_values),
        codes=torch.zeros(0, VOCABULARY.codebooks, dtype=torch.int64),
        lengths=(LENGTH,) * rows,
        targets=torch.tensor([rows * (LENGTH - 1), 0, 0]),
        step_positions=rows * LENGTH,
        keys=("",) * rows,
    )


def sent_on(sizes: MeshSizes) -> dict[str, int]:
    """Bytes of one step on this mesh."""
    model = OmniTransformer(CONFIG, VOCABULARY)
    model.initialise(0)
    lay_out(model, build_mesh("cpu", sizes), Sharding())
    batch = text_batch(ROWS, sizes.reader(dist.get_rank()))
    with Sent() as sent:
        compute_losses(model, model(batch), batch).total.backward()
    return dict(sent.bytes)


def planned(sizes: MeshSizes) -> dict[str, float]:
    """What ``omni plan`` reckons with, in fp32: rows and weights of twice its bytes."""
    mesh = Mesh(dp=sizes.replicate * sizes.shard, ep=sizes.expert, cp=sizes.context)
    parameters = count_parameters(CONFIG, VOCABULARY)
    workload = Workload(length=LENGTH, rows=ROWS)
    traffic = traffic_of(CONFIG, parameters, workload, mesh, gpu_named("h100-80gb"), Efficiency())
    weights = traffic.bytes["dp"] / 8  # two gathers of 2 bytes and a scatter of 4 for each that leaves
    return {
        "all-to-all": 2 * (traffic.bytes["ep"] + traffic.bytes["cp"]),
        "all-gather": 8 * weights,
        "reduce-scatter": 4 * weights,
    }


def main() -> None:
    """Count and print on the first rank."""
    dist.init_process_group("gloo")
    world = dist.get_world_size()
    meshes = [MeshSizes(expert=world), MeshSizes(context=world), MeshSizes(shard=world)]
    for sizes in meshes:
        sent, theory = sent_on(sizes), planned(sizes)
        if dist.get_rank() == 0:
            rows = {
                kind: {"sent": sent.get(kind, 0), "planned": round(theory.get(kind, 0))}
                for kind in sent.keys() | theory.keys()
            }
            print(json.dumps({"mesh": str(sizes), "bytes": rows}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
