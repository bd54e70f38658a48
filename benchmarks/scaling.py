"""What sharing a model out costs: CPU time of a training step by two processes, against one that has all rows.

    python -m torch.distributed.run --standalone --nproc-per-node 2 -m benchmarks.scaling [--rounds 5]

As many rows alternately by the first process alone and by all of them on each mesh, a thread each; AdamW's step
is left out. ``cpu`` is the CPU time of all processes over that of the one alone: 1 is free sharing, and time on the
clock on idle cores is ``cpu`` / processes at best. ``seconds`` is the median on the clock, which says little on a
machine with other work.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch
import torch.distributed as dist

from benchmarks.communication import CONFIG, VOCABULARY, text_batch
from omni.losses import compute_losses
from omni.model import OmniTransformer
from omni.parallel.layout import Sharding, lay_out
from omni.parallel.mesh import MeshSizes, build_mesh

ROWS = 4


def made() -> OmniTransformer:
    """The model, the same in every process."""
    model = OmniTransformer(CONFIG, VOCABULARY)
    model.initialise(0)
    return model


def shared(sizes: MeshSizes) -> OmniTransformer:
    """The model on a mesh."""
    model = made()
    lay_out(model, build_mesh("cpu", sizes), Sharding())
    return model


def step_of(model: OmniTransformer, rows: int, first: int) -> Callable[[], None]:
    """A forward and a backward pass."""
    batch = text_batch(rows, first)

    def step() -> None:
        compute_losses(model, model(batch), batch).total.backward()
        model.zero_grad()

    return step


def timed(step: Callable[[], None], everybody: bool) -> tuple[float, float]:
    """CPU seconds of all processes, and seconds on the clock; the others wait where one works."""
    dist.barrier()
    before, cpu = time.perf_counter(), time.process_time()
    if everybody or dist.get_rank() == 0:
        step()
    used = torch.tensor([time.process_time() - cpu, time.perf_counter() - before])
    if not everybody and dist.get_rank():
        used.zero_()
    dist.all_reduce(used[:1])
    return used[0].item(), used[1].item()


def main() -> None:
    """Measure and print on the first rank."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    world, rank = dist.get_world_size(), dist.get_rank()
    meshes = [MeshSizes(**{name: world}) for name in ("replicate", "shard", "expert", "context")]
    steps = {"alone": step_of(made(), ROWS, 0)}
    for sizes in meshes:
        steps[str(sizes)] = step_of(shared(sizes), ROWS // sizes.readers, sizes.reader(rank))
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
    for number in range(rounds + 1):
        for name, step in steps.items():
            used = timed(step, everybody=name != "alone")
            if number:  # the first round warms up
                found[name].append(used)
    if rank == 0:
        for name, rows in found.items():
            cpu = statistics.median(
                mine[0] / alone[0] for mine, alone in zip(rows, found["alone"], strict=True)
            )
            seconds = statistics.median(clock for _, clock in rows)
            print(json.dumps({"mesh": name, "cpu": round(cpu, 3), "seconds": round(seconds, 3)}))
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
