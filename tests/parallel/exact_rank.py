"""One of 2 or 4 ranks: ``python -m torch.distributed.run --nproc-per-node 2 -m tests.parallel.exact_rank FOLDER``.

Lays a model out over each mesh of so many ranks, in fp64, and compares losses, gradients, their norm, clipping and
the means that are logged with those of one process that has all rows. The first rows are text alone, so one rank
sees no picture and no sound. Writes ``FOLDER/rank-r.json``.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.tensor import DTensor

from omni.datamodules.collate import collate
from omni.losses import Losses, compute_losses, corrupt_inputs
from omni.model import OmniTransformer
from omni.nn.config import MoEConfig
from omni.nn.context_config import RecomputeConfig
from omni.nn.noise import Noise
from omni.parallel.layout import Sharding, lay_out
from omni.parallel.mesh import MeshSizes, build_mesh
from omni.sequence import OmniBatch, Sequence
from omni.training.gradients import GradientNorms
from omni.training.means import Means
from tests.tiny import tiny_documents
from tests.tiny_model import sequences_of, tiny_model

ROW_LENGTH = 256
SIZES = {
    2: [
        MeshSizes(replicate=2),
        MeshSizes(shard=2),
        MeshSizes(expert=2),
        MeshSizes(context=2),
    ],
    4: [
        MeshSizes(expert=4),
        MeshSizes(shard=2, expert=2),
        MeshSizes(replicate=2, expert=2),
        MeshSizes(context=2, expert=2),
        MeshSizes(context=4),
        MeshSizes(replicate=2, context=2),
        MeshSizes(replicate=2, shard=2),
    ],
}
ONCE, KEPT = Sharding(), RecomputeConfig()
MOST = 0.5
"""Norm that gradients are clipped to, well below theirs."""


@cache
def rows() -> list[list[Sequence]]:
    """Four rows; the first two are text alone."""
    sequences = sequences_of(tiny_documents(140))
    text = [sequence for sequence in sequences if not (len(sequence.patches) or len(sequence.codes))]
    mixed = [sequence for sequence in sequences if len(sequence.patches) or len(sequence.codes)]
    found: list[list[Sequence]] = []
    for pool in (text, text, mixed, mixed):
        row: list[Sequence] = []
        while pool and sum(map(len, row)) + len(pool[0]) <= ROW_LENGTH:
            row.append(pool.pop(0))
        assert sum(map(len, row)) > ROW_LENGTH // 2, "documents for four rows"
        found.append(row)
    return found


def batch_of(numbers: list[int]) -> OmniBatch:
    """These rows of the step of four."""
    whole = collate(rows(), ROW_LENGTH)
    batch = collate(
        [rows()[number] for number in numbers],
        ROW_LENGTH,
        whole.targets.tolist(),
        whole.step_positions,
        row_numbers=numbers,
    )
    return replace(batch, patches=batch.patches.double())


def losses_of(model: OmniTransformer, batch: OmniBatch) -> Losses:
    """As in training."""
    noise = Noise.of_rows(batch, 7)
    return compute_losses(model, model(corrupt_inputs(batch, model, noise)), batch, noise)


def whole(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def added_up(tensor: Tensor) -> Tensor:
    summed = tensor.detach().clone()
    dist.all_reduce(summed)
    return summed


def apart(one: OmniTransformer, other: OmniTransformer) -> float:
    """Largest difference of gradients, relative to the largest gradient of each parameter."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(_relative(whole(a.grad), whole(b.grad)) for a, b in pairs)


def _relative(a: Tensor, b: Tensor) -> float:
    return ((a - b).abs().max() / b.abs().max().clamp(min=1e-30)).item()


def compared(
    alone: OmniTransformer, sizes: MeshSizes, sharding: Sharding = ONCE, recompute: RecomputeConfig = KEPT
) -> dict[str, Any]:
    """Differences between the model on this mesh and alone, which has its losses and gradients."""
    rank = dist.get_rank()
    model = copy.deepcopy(alone)
    model.config = replace(model.config, recompute=recompute)
    model.zero_grad()
    lay_out(model, build_mesh("cpu", sizes), sharding)
    each = 4 // sizes.readers
    first = sizes.reader(rank) * each
    batch = batch_of(list(range(first, first + each)))
    losses = losses_of(model, batch)
    losses.total.backward()

    everything = losses_of(alone, batch_of([0, 1, 2, 3]))
    means, expected = Means(torch.device("cpu")), Means(torch.device("cpu"))
    means.add(losses)
    expected.add(everything)
    logged, wanted = means.take(added_up)[0], expected.take(lambda sums: sums)[0]
    norms = GradientNorms.of(model.parameters())
    found = {
        "own counts": losses.counts_M.tolist(),
        "documents": len(model.own(batch).lengths),
        "loss": abs(added_up(losses.total) / everything.total.detach() - 1).item(),
        "gradients": apart(model, alone),
        "norms": _relative(norms.norms, GradientNorms.of(alone.parameters()).norms),
        "means": max(abs(logged[name] / wanted[name] - 1).item() for name in wanted),
        "modalities logged": sorted(logged),
        "experts here": _experts_here(model),
    }
    clipped = copy.deepcopy(alone)
    for parameter, given in zip(clipped.parameters(), alone.parameters(), strict=True):
        parameter.grad = whole(given.grad).clone()
    torch.nn.utils.clip_grad_norm_(clipped.parameters(), MOST)
    norms.clip(MOST)
    return found | {"clipped": apart(model, clipped)}


def _experts_here(model: OmniTransformer) -> list[int]:
    weight = model.get_parameter("blocks.0.moe.experts.w13")
    assert isinstance(weight, DTensor)
    return list(weight.to_local().shape)


def with_gradients(dtype: torch.dtype = torch.float64, favoured: int = 0) -> OmniTransformer:
    """The model alone, with the gradients of all rows; positions choose the ``favoured`` first experts, if any."""
    moe = MoEConfig(experts=4, top_k=2, expert_width=16, shared_width=8)
    alone = tiny_model(dtype=dtype, moe=moe)
    for router in alone.routers():
        router.bias[:favoured] += 10
    losses_of(alone, batch_of([0, 1, 2, 3])).total.backward()
    return alone


def main(folder: Path) -> None:
    """Compare on every mesh, and write."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    world = int(os.environ["WORLD_SIZE"])
    alone = with_gradients()
    found = {str(sizes): compared(alone, sizes) for sizes in SIZES[world]}
    if world == 2:
        for mode in ("blocks", "operations"):
            for sizes in (MeshSizes(expert=2), MeshSizes(context=2)):
                again = RecomputeConfig(mode=mode)  # type: ignore[arg-type]
                found[f"{sizes}, {mode} again"] = compared(alone, sizes, recompute=again)
        found["whole gathered weights"] = compared(alone, MeshSizes(expert=2), Sharding(reshard=False))
        for dtype in (torch.float64, torch.float32):
            idle = with_gradients(dtype, favoured=2)
            found[f"experts of one rank idle, {dtype}"] = compared(idle, MeshSizes(expert=2))
    (folder / f"rank-{dist.get_rank()}.json").write_text(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
