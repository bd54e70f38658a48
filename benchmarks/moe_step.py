"""What a mixture-of-experts layer costs: ours and other implementations, as a share of a dense layer's speed.

Command:  python -m benchmarks.moe_step [--columns layer small ...] [--rounds 7] [--no-wall] [--json FILE]
          (after pip install 'omni[bench]', as far as wanted)
Time:     half an hour on two cores with all columns and both clocks; `layer small step` without wall 8 minutes
Memory:   14 GB (the steps of a wider model; 6 GB without `step_d512`)
Result:   tables; with --json {"layer": {"fp32": {NAME: share}, "bf16": {...}}, "step": {...}, "small": {...}, ...}

The ceiling is called ``dense``: one SwiGLU network with as many FLOPs a position as the chosen experts have
together, in plain torch. A share is its time over that of the layer (or step), so 1 is the ceiling itself.

    layer             one layer, forward and backward, 2,048 positions, width 384, 16 experts of 512, 2 chosen
    small             the same on 256 positions
    step              whole training step (AdamW) of 4 layers, vocabulary 8,192, 4 x 512 tokens
    step_d512         the same with 8 layers of width 512
    step_64_experts   the same as ``step`` with 64 experts of 128, 8 chosen
    skew              ours alone: what a load with max/mean 4.6 costs over an even one

All layers have the same weights (their outputs are compared first) and stand in the same model; experts get another
batch each round. Both clocks are read in one process in which all take turns: CPU time with one thread, which gives
the columns, and wall time with all threads, under ``wall``. ``ahead`` holds, by clock, column, precision and peer,
the peer's time over ours: [median of the rounds, lower and upper 95 % bound].
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # before torch is loaded, as in the omni command

import importlib.metadata
import statistics
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from benchmarks.moe_step_clock import Clock, Seconds, Turn, clocks, paired_ratio, rounds_of
from benchmarks.moe_step_peers import COMPILED, DENSE, OURS, PEERS
from benchmarks.moe_step_stacks import SIZES, check_outputs, layer_turns, layers_of, skew_turns, step_turns
from omni.cli.allocator import keep_freed_memory
from omni.cli.json_file import add_json_option, write_json

SKEW = "skew"
PRECISIONS = {"fp32": False, "bf16": True}
TARGETS = {
    ("layer", "fp32"): 0.92,
    ("layer", "bf16"): 0.88,
    ("small", "fp32"): 0.75,
    ("step", "fp32"): 0.97,
    ("step", "bf16"): 0.94,
    ("step_64_experts", "fp32"): 0.85,
    ("step_64_experts", "bf16"): 0.85,
}
"""Least share of ours."""


def main() -> None:
    """Measure, print and write."""
    args = parse_arguments()
    keep_freed_memory()  # as `omni fit` does
    torch.manual_seed(0)
    read = clocks(os.cpu_count() or 1)
    if args.no_wall:
        del read["wall"]
    figures: dict[str, Any] = {
        "command": " ".join(["python -m benchmarks.moe_step", *sys.argv[1:]]),
        "rounds": args.rounds,
        "threads": {name: clock.threads for name, clock in read.items()},
        "versions": {"torch": torch.__version__},
        "missing": {},
        "left_out": {},
        "ahead": {name: {} for name in read},
        "milliseconds": {name: {} for name in read},
        "wall": {},
    }
    for column in args.columns:
        for precision in args.precisions:
            measure(column, precision, read, args, figures)
    write_json(args.json, figures)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    columns = [*SIZES, SKEW]
    parser.add_argument("--columns", nargs="+", choices=columns, default=columns, help="all by default")
    parser.add_argument(
        "--precisions", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="both by default"
    )
    names = [peer.name for peer in PEERS]
    parser.add_argument(
        "--peers", nargs="*", choices=names, default=names, help="beside ours; all by default"
    )
    parser.add_argument("--compiled", action="store_true", help="ours with model.compile, too (needs g++)")
    parser.add_argument("--rounds", type=int, default=7, help="each one's turns, at least 5")
    parser.add_argument("--no-wall", action="store_true", help="CPU time alone")
    add_json_option(parser)
    args = parser.parse_args()
    if args.rounds < 5:
        parser.error(f"--rounds {args.rounds}: medians need at least 5")
    return args


def measure(
    column: str, precision: str, read: Mapping[str, Clock], args: argparse.Namespace, figures: dict[str, Any]
) -> None:
    """Add the figures of one column in one precision, and print them."""
    half = PRECISIONS[precision]
    if column == SKEW:
        turns, load = skew_turns(half)
        figures.setdefault(SKEW, {})[precision] = {"max_over_mean": round(load, 2)}
    else:
        turns = turns_of(column, precision, [*args.peers, *([COMPILED] if args.compiled else [])], figures)
    for name, clock in read.items():
        seconds = rounds_of(turns, clock, args.rounds)
        milliseconds = {turn: round(1e3 * statistics.median(times), 2) for turn, times in seconds.items()}
        figures["milliseconds"][name].setdefault(column, {})[precision] = milliseconds
        if column == SKEW:
            cost = paired_ratio(seconds["skewed"], seconds["even"])
            figures[SKEW][precision][name] = [round(ratio - 1, 4) for ratio in cost]
            print(f"{column} {precision} {name}: load {load:.1f} times the mean costs {cost.median - 1:.1%}")
            continue
        place = figures if name == "cpu" else figures[name]
        place.setdefault(column, {})[precision] = shares = shares_of(seconds)
        ahead = ahead_of(seconds)
        figures["ahead"][name].setdefault(column, {})[precision] = ahead
        show(f"{column} {precision} {name}", shares, milliseconds, ahead)


def turns_of(column: str, precision: str, peers: Sequence[str], figures: dict[str, Any]) -> dict[str, Turn]:
    """What takes turns in a column; notes who doesn't."""
    half, size = PRECISIONS[precision], SIZES[column]
    layers, missing, left_out = layers_of(size, half, peers)
    figures["missing"] |= missing
    if left_out:
        figures["left_out"].setdefault(column, {})[precision] = left_out
    for name in layers:
        if name not in (DENSE, OURS, COMPILED):
            (peer,) = (peer for peer in PEERS if peer.name == name)
            figures["versions"][peer.package] = importlib.metadata.version(peer.package)
    if column.startswith("step"):
        return step_turns(list(layers), size, half)
    check_outputs(layers, size)
    return layer_turns(layers, size, half)


def shares_of(seconds: Seconds) -> dict[str, float]:
    """Of the dense ceiling; the median of the rounds."""
    return {name: round(paired_ratio(seconds[DENSE], times).median, 4) for name, times in seconds.items()}


def ahead_of(seconds: Seconds) -> dict[str, list[float]]:
    """Each peer's time over ours."""
    ratios = {name: paired_ratio(times, seconds[OURS]) for name, times in seconds.items() if name != OURS}
    return {name: [round(figure, 4) for figure in ratio] for name, ratio in ratios.items()}


def show(
    title: str,
    shares: Mapping[str, float],
    milliseconds: Mapping[str, float],
    ahead: Mapping[str, list[float]],
) -> None:
    """Print one column."""
    target = TARGETS.get(tuple(title.split()[:2]))  # type: ignore[arg-type]
    print(title + (f" (target {target})" if target else ""))
    for name, share in shares.items():
        line = f"  {name:26}{milliseconds[name]:9.1f} ms  {share:6.3f} of the ceiling"
        if name in ahead and name != DENSE:
            median, low, high = ahead[name]
            line += f"   ours is {median:.2f} times as fast ({low:.3f} to {high:.3f})"
        print(line, flush=True)


if __name__ == "__main__":
    main()
