"""Runs a function over shards, in this process or in several."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Seq
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TypeVar

PARALLEL_FROM = 64 << 20
"""Bytes of shards from which on it pays to start processes: each takes seconds to import what it needs."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def workers_for(shards: Iterable[Path]) -> int:
    """How many processes to use where the user gave no number: one a core, or 1 for little data."""
    return os.cpu_count() or 1 if sum(shard.stat().st_size for shard in shards) >= PARALLEL_FROM else 1


def run_over(function: Callable[[Item], Result], items: Seq[Item], workers: int) -> Iterator[Result]:
    """Results of ``function`` for each item, in the order of the items.

    With one worker it runs in this process. Several are fresh processes (forked ones could inherit a lock that
    a thread holds), so the function and its items must be picklable.

    Raises:
        ValueError: fewer than one worker.
    """
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if min(workers, len(items)) <= 1:
        yield from map(function, items)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(items)), mp_context=context) as pool:
        try:
            yield from pool.map(function, items)
        finally:
            pool.shutdown(cancel_futures=True)
