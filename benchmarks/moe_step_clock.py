"""Rounds in which all take turns in one process, and what they say about ratios."""

from __future__ import annotations

import gc
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import torch
from scipy.stats import t

Turn = Callable[[int], object]
"""Does the work of a round."""
Seconds = dict[str, list[float]]
"""By name: of each round."""


class Clock(NamedTuple):
    """What is read, and with how many threads."""

    read: Callable[[], float]
    threads: int


def clocks(threads: int) -> dict[str, Clock]:
    """CPU time of one thread, which is steady where other programs share the cores; and wall time with all."""
    return {"cpu": Clock(time.process_time, 1), "wall": Clock(time.perf_counter, threads)}


def rounds_of(turns: Mapping[str, Turn], clock: Clock, rounds: int) -> Seconds:
    """Seconds of each turn; one round before them is not counted. Who begins changes from round to round."""
    torch.set_num_threads(clock.threads)
    names = list(turns)
    seconds: Seconds = {name: [] for name in names}
    gc.collect()
    for number in range(rounds + 1):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            start = clock.read()
            turns[name](number)
            taken = clock.read() - start
            if number:
                seconds[name].append(taken)
    return seconds


class Ratio(NamedTuple):
    """Median of the rounds' ratios, and the 95 % interval of their geometric mean (Student's t)."""

    median: float
    low: float
    high: float


def paired_ratio(over: Sequence[float], under: Sequence[float]) -> Ratio:
    """``over / under``, round by round."""
    logs = [math.log(a / b) for a, b in zip(over, under, strict=True)]
    mean, error = statistics.mean(logs), statistics.stdev(logs) / math.sqrt(len(logs))
    margin = float(t.ppf(0.975, len(logs) - 1)) * error
    return Ratio(math.exp(statistics.median(logs)), math.exp(mean - margin), math.exp(mean + margin))
