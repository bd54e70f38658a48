"""How long training stands still for a checkpoint: saved in the background, and waited for.

Command:  python -m benchmarks.checkpoint_stall [--megabytes 128] [--repeats 9] [--folder DIR] [--json FILE]
Time:     half a minute on an idle core
Result:   median and range of the milliseconds until the next step may begin, of both, and of the seconds until the
          checkpoint is there; with --json ``{"asynchronous", "synchronous", "ratio", "megabytes", ...}``

Both save the same state (fp32 weights and AdamW's two moments) in turns, in one process, so that a busy machine is busy
for both. What is timed is what ``Checkpoints`` does at a step: naming the tensors, packing the rest, and ``Saver.save``
(which copies), with or without waiting for files, checksums, fsync and publication. Weights move between saves.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from omni.cli.json_file import add_json_option, write_json
from omni.parallel.checkpoint.contents import pack
from omni.parallel.checkpoint.saver import Saver, Target

WIDTH = 512
BYTES_PER_PARAMETER = 12


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=128, help="size of the state")
    parser.add_argument("--repeats", type=int, default=9, help="saves of each kind")
    parser.add_argument(
        "--folder", type=Path, help="where to write; a folder of its own in the system's by default"
    )
    add_json_option(parser)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        figures = measure(args.megabytes, args.repeats, Path(folder))
    for kind in ("asynchronous", "synchronous"):
        one = figures[kind]
        print(f"{kind:13} {one['median_ms']:8.1f} ms ({one['least_ms']:.1f} to {one['most_ms']:.1f})")
    print(f"asynchronous / synchronous {figures['ratio']:.2f}; until it is there {figures['there_s']:.2f} s")
    write_json(args.json, figures)


def measure(megabytes: int, repeats: int, folder: Path) -> dict[str, Any]:
    """Stand-still of both kinds, by turns; the first of each is not counted."""
    torch.set_num_threads(1)
    layers = max(1, round(megabytes * 1e6 / BYTES_PER_PARAMETER / WIDTH**2))
    module = nn.ModuleList(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(layers))
    optimizer = torch.optim.AdamW(module.parameters(), foreach=False)
    for parameter in module.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    saver, seconds, there = Saver(), dict[bool, list[float]]({True: [], False: []}), []
    for turn in range(2 * repeats + 2):
        asynchronous, target = turn % 2 == 0, folder / f"{turn}.ckpt"
        began = time.perf_counter()
        state = {"state_dict": module.state_dict(), "optimizer_states": [optimizer.state_dict()]}
        tensors, files = pack(state, module, [optimizer])
        saver.save(tensors, Target(folder=target, run="r", step=turn, files=files, expected={}))
        if not asynchronous:
            saver.wait()
        stood = time.perf_counter() - began
        saver.wait()
        if turn > 1:
            seconds[asynchronous].append(1000 * stood)
            there.append(time.perf_counter() - began)
        shutil.rmtree(target)
        optimizer.step()
    saver.close()
    medians = {kind: statistics.median(times) for kind, times in seconds.items()}
    return {
        "megabytes": layers * WIDTH**2 * BYTES_PER_PARAMETER / 1e6,
        "repeats": repeats,
        **{
            name: {"median_ms": medians[kind], "least_ms": min(seconds[kind]), "most_ms": max(seconds[kind])}
            for name, kind in (("asynchronous", True), ("synchronous", False))
        },
        "ratio": medians[True] / medians[False],
        "there_s": statistics.median(there),
    }


if __name__ == "__main__":
    main()
