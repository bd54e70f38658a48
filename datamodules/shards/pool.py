"""Runs a function over shards: in this process, in several, or on a Ray cluster. What fails is tried again.

Each item is one task, such as a shard. An error of the input (a ``ValueError``) stays what it is; after any other,
such as a file system that doesn't answer or a process that was killed for its memory, the item is tried again, at
most ``TRIES`` times in all. The others go on whatever happens to one.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Seq
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, Generic, TypeVar

from omni.datamodules.shards.tasks import TRIES, Cluster, Failed, attempt

PARALLEL_FROM = 64 << 20
"""Bytes of shards from which on it pays to start processes: each takes seconds to import what it needs."""

Item = TypeVar("Item")
Result = TypeVar("Result")


Workers = int | Cluster
"""Processes of this machine, or a cluster."""


class FailedItemsError(ValueError):
    """Some items could not be done; all others are."""


def workers_for(sizes: Iterable[int]) -> int:
    """How many processes to use for shards of so many bytes where the user gave no number: one a core, or 1."""
    return os.cpu_count() or 1 if sum(sizes) >= PARALLEL_FROM else 1


def run_over(function: Callable[[Item], Result], items: Seq[Item], workers: Workers) -> Iterator[Result]:
    """Results of ``function`` for each item, in the order of the items.

    Raises:
        FailedItemsError: some items failed; raised behind the results of the others.
        ValueError: see ``run_each``.
    """
    failed: list[Failed[Item]] = []
    for outcome in run_each(function, items, workers):
        if isinstance(outcome, Failed):
            failed.append(outcome)
        else:
            yield outcome
    if failed:
        raise FailedItemsError(f"{len(failed)} of {len(items)} failed; first: {failed[0]}")


def run_each(
    function: Callable[[Item], Result], items: Seq[Item], workers: Workers
) -> Iterator[Result | Failed[Item]]:
    """What became of each item, in the order of the items.

    With one worker it runs in this process. Several are fresh processes (forked ones could inherit a lock that
    a thread holds), so the function and its items must be picklable; so they must be for a cluster.

    Raises:
        ValueError: fewer than one worker.
        ImportError: a cluster, and Ray isn't installed.
    """
    if isinstance(workers, Cluster):
        from omni.datamodules.shards.ray_cluster import run_on_ray

        yield from run_on_ray(workers, function, items)
        return
    if workers < 1:
        raise ValueError(f"workers must be at least 1, got {workers}")
    if min(workers, len(items)) <= 1:
        yield from map(partial(attempt, function), items)
        return
    processes = _Processes(partial(attempt, function), items, min(workers, len(items)))
    try:
        yield from processes.outcomes()
    finally:
        processes.pool.shutdown(cancel_futures=True)


class _Processes(Generic[Item]):
    """Items on a process pool, which is started anew where a process dies.

    Nobody says which item killed it, so those that were running are then run alone, one after another.
    """

    def __init__(self, function: Callable[[Item], Any], items: Seq[Item], workers: int) -> None:
        self.function, self.items, self.workers = function, items, workers
        self.pool = self._pool()
        self.waiting, self.suspects = deque(range(len(items))), deque[int]()
        self.running: dict[Future[Any], int] = {}
        self.deaths: Counter[int] = Counter()
        self.done: dict[int, Any] = {}

    def outcomes(self) -> Iterator[Any]:
        """What became of each item, in order."""
        for number in range(len(self.items)):
            while number not in self.done:
                self._submit()
                self._collect()
            yield self.done.pop(number)

    def _pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(self.workers, mp_context=multiprocessing.get_context("spawn"))

    def _submit(self) -> None:
        alone = bool(self.suspects)
        queue = self.suspects if alone else self.waiting
        while queue and len(self.running) < (1 if alone else self.workers):
            number = queue.popleft()
            self.running[self.pool.submit(self.function, self.items[number])] = number
        assert self.running, f"{len(self.items)} items, none of which runs"

    def _collect(self) -> None:
        broken = False
        for future in wait(self.running, return_when=FIRST_COMPLETED).done:
            try:
                self.done[self.running[future]] = future.result()
                del self.running[future]
            except BrokenProcessPool:
                broken = True
        if broken:
            for number in self.running.values():
                self._suspect(number)
            self.running.clear()
            self.pool.shutdown()
            self.pool = self._pool()

    def _suspect(self, number: int) -> None:
        self.deaths[number] += 1
        if self.deaths[number] < TRIES:
            self.suspects.append(number)
        else:
            error = "its process was killed, or crashed (for lack of memory?)"
            self.done[number] = Failed(self.items[number], error, TRIES)
