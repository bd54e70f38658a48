"""Fetches in threads of one process, in order: nothing is copied from one process to another.

Decoders of pictures and sound release Python's lock, so threads decode on several cores. What holds the lock (JSON,
text, indexing) takes turns with the training loop; processes never hold that up, but copy each batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

AHEAD = 2
"""Items that wait or are under way for each thread, as with torch's ``DataLoader``."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def fetch_in_threads(
    fetch: Callable[[Item], Result], items: Iterable[Item], threads: int, ahead: int = AHEAD
) -> Iterator[Result]:
    """``fetch`` of each item, in the order of the items.

    ``items`` is advanced by the caller's thread alone, at most ``threads * ahead`` items before the one whose result
    is yielded. What ``fetch`` or ``items`` raises is raised in its place. Closing the iterator, or dropping it, waits
    for the items that are under way and forgets those that are not.

    Args:
        fetch: called in the threads.
        items: what it is called with.
        threads: at least 1.
        ahead: items for each thread.
    """
    under_way: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="omni-data", initializer=_one_core)
    try:
        for item in items:
            under_way.append(pool.submit(fetch, item))
            if len(under_way) >= threads * ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _one_core() -> None:
    """Let the calling thread's torch operations use one core, as in a worker process; other threads keep theirs."""
    torch.get_num_threads()  # sets this thread's number, which would otherwise happen later
    threadpool_limits(1, user_api="openmp")
