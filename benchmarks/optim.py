"""What an optimizer step costs: fused AdamW against foreach, and batched Muon against a loop over experts.

Command:  python -m benchmarks.optim [--width 128] [--experts 16] [--rounds 7] [--json FILE]
Time:     seconds
Result:   CPU time of one thread as ratios, alternating in one process, medians; more than 1 means faster by so much
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from omni.optim.muon import Muon

Step = Callable[[], Any]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=128, help="D; experts are half as wide")
    parser.add_argument("--layers", type=int, default=4, help="of attention and experts")
    parser.add_argument("--experts", type=int, default=16, help="of each layer")
    parser.add_argument("--rounds", type=int, default=7, help="of which medians are taken")
    parser.add_argument("--json", type=Path, help="where the figures go")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    shapes = layer_shapes(args.width, args.experts) * args.layers
    figures: dict[str, float | int] = {"parameters": sum(torch.Size(shape).numel() for shape in shapes)}
    for name, (fast, slow) in contests(shapes).items():
        figures |= compare(name, fast, slow, args.rounds)
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


def layer_shapes(width: int, experts: int) -> list[tuple[int, ...]]:
    """Attention, experts of half the width, and two norms."""
    return [
        (2 * width, width),
        (width, width),
        (experts, width, width),
        (experts, width, width // 2),
        (width,),
        (width,),
    ]


def contests(shapes: list[tuple[int, ...]]) -> dict[str, tuple[Step, Step]]:
    """By name: a step, and the same step the slow way."""
    matrices = [shape for shape in shapes if len(shape) > 1]
    single = [shape[-2:] for shape in matrices for _ in range(torch.Size(shape[:-2]).numel())]
    fused, foreach = (
        torch.optim.AdamW(with_gradients(shapes), fused=kernel, foreach=not kernel)
        for kernel in (True, False)
    )
    together, alone = Muon(with_gradients(matrices)), Muon(with_gradients(single))
    torchs = torch.optim.Muon(with_gradients(single), adjust_lr_fn="match_rms_adamw")
    return {
        "adamw_fused_over_foreach": (fused.step, foreach.step),
        "muon_batched_over_loop": (together.step, alone.step),
        "muon_batched_over_torchs_loop": (together.step, torchs.step),
    }


def with_gradients(shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """Random parameters with random gradients."""
    parameters = [nn.Parameter(torch.randn(shape)) for shape in shapes]
    for parameter in parameters:
        parameter.grad = torch.randn_like(parameter)
    return list(parameters)


def compare(name: str, fast: Step, slow: Step, rounds: int) -> dict[str, float]:
    """The ratio of the median times of the two, and both in milliseconds; the first round is not counted."""
    times: dict[Step, list[float]] = {fast: [], slow: []}
    for _ in range(rounds + 1):
        for step, seen in times.items():
            start = time.process_time()
            step()
            seen.append(time.process_time() - start)
    fast_ms, slow_ms = (1e3 * statistics.median(times[step][1:]) for step in (fast, slow))
    ratios = [s / f for f, s in zip(times[fast][1:], times[slow][1:], strict=True)]
    return {
        name: round(statistics.median(ratios), 2),
        f"{name}_ms": round(fast_ms, 2),
        f"{name}_slow_ms": round(slow_ms, 2),
    }


if __name__ == "__main__":
    main()
