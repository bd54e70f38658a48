"""Competitors that take turns in one process, so that other work on the machine hits all of them alike.

Two clocks. ``cpu``: processor time of the process with one thread, which is steady where other programs share the
cores. ``wall``: time that passes with all cores, which says something on an idle machine only.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

Turn = Callable[[], Any]
CLOCKS: dict[str, Callable[[], float]] = {"cpu": time.process_time, "wall": time.perf_counter}
LEAST_ROUNDS = 5


@dataclass(frozen=True)
class Times:
    """Seconds of each competitor by name, round by round, on one clock."""

    seconds: Mapping[str, list[float]]

    def median(self, name: str) -> float:
        """Median seconds of a turn."""
        return statistics.median(self.seconds[name])

    def ratio(self, name: str, by: str) -> float:
        """Median over the rounds of what ``name`` took, divided by what ``by`` took in the same round."""
        pairs = zip(self.seconds[name], self.seconds[by], strict=True)
        return statistics.median(taken / unit for taken, unit in pairs)

    def spread(self, name: str, by: str) -> tuple[float, float]:
        """The least and the most of those ratios."""
        ratios = [a / b for a, b in zip(self.seconds[name], self.seconds[by], strict=True)]
        return min(ratios), max(ratios)


def add_turn_options(parser: argparse.ArgumentParser, rounds: int = 7) -> None:
    """Add ``--rounds`` and ``--clocks``."""
    parser.add_argument("--rounds", type=int, default=rounds, help=f"turns of each, at least {LEAST_ROUNDS}")
    parser.add_argument("--clocks", nargs="+", choices=CLOCKS, default=list(CLOCKS), help="both by default")


def check_turn_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """End the program where medians would be of too few."""
    if args.rounds < LEAST_ROUNDS:
        parser.error(f"--rounds {args.rounds}: expected at least {LEAST_ROUNDS}")


def take_turns(turns: Mapping[str, Turn], clock: str, rounds: int) -> Times:
    """Let each take ``rounds`` turns on the clock; a first round isn't counted. Every other round runs backwards."""
    now, threads = CLOCKS[clock], torch.get_num_threads()
    seconds: dict[str, list[float]] = {name: [] for name in turns}
    if clock == "cpu":
        torch.set_num_threads(1)
    try:
        for number in range(-1, rounds):
            for name in list(turns)[:: 1 if number % 2 else -1]:
                gc.collect()
                start = now()
                turns[name]()
                if number >= 0:
                    seconds[name].append(now() - start)
    finally:
        torch.set_num_threads(threads)
    return Times(seconds)
