"""Counts what the cache did, from any thread, without a lock that a fork could leave taken."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class Counts:
    """What a cache did in this process so far."""

    downloaded_bytes: int = 0
    """Bytes that came over the wire, those of failed and repeated downloads too."""
    hits: int = 0
    """Leases of a shard that lay in the cache."""
    misses: int = 0
    """Leases that had to download, those of the prefetcher too."""
    evictions: int = 0
    retries: int = 0
    """Requests made again, and ranges that were asked for again because less came than was asked for."""


class Counters:
    """Adds up ``Counts``: each thread has its own sums, so none waits for another."""

    def __init__(self) -> None:
        self._by_thread: dict[int, Counter[str]] = {}

    def add(self, name: str, count: int = 1) -> None:
        """Count ``name``, a field of ``Counts``."""
        self._by_thread.setdefault(threading.get_ident(), Counter())[name] += count

    def counts(self) -> Counts:
        """The sums over all threads."""
        total: Counter[str] = Counter()
        for counter in list(self._by_thread.values()):
            total.update(counter)
        return Counts(**total)
