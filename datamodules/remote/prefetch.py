"""Fetches the shards of the coming rows in a thread of the process that knows them, ahead of those that read."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from omni.datamodules.remote.cache import ShardCache
from omni.datamodules.remote.errors import RemoteError

_FRESH = 1.0  # seconds for which a shard that was looked after needs no other look
_LONGEST_CLOSE = 5.0  # seconds to wait for the thread: a request that is under way can't be called off


class Prefetcher:
    """Brings shards into the cache, the soonest needed first, for readers in this process and in others.

    It keeps no lease: what was fetched last is evicted last, and at most half the budget is fetched ahead, so
    that the other half stays for the shards in use. The thread lives as long as there is something to fetch.
    """

    def __init__(self, cache: ShardCache) -> None:
        self.cache = cache
        self._waiting: deque[str] = deque()
        self._looked: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._process = os.getpid()

    def __reduce__(self) -> tuple[Any, ...]:
        return Prefetcher, (self.cache,)

    def coming(self, names: Iterable[str]) -> None:
        """Tell what is needed from now on, in this order; takes the place of what was told before.

        Returns at once. A shard that can't be fetched is left to those that read it, who meet the same error. In
        a process forked from the one that made the prefetcher it does nothing.
        """
        if os.getpid() != self._process or self._stop.is_set():
            return
        with self._lock:
            now, near = time.monotonic(), list(self._near(names))
            self._looked = {
                name: at for name, at in self._looked.items() if name in near and now < at + _FRESH
            }
            self._waiting = deque(name for name in near if name not in self._looked)
            if self._waiting and self._thread is None:
                self._thread = threading.Thread(target=self._run, name="shard prefetch", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Stop downloading; a second time does nothing."""
        self._stop.set()
        thread = self._thread
        if thread is not None and os.getpid() == self._process:
            thread.join(_LONGEST_CLOSE)

    def _near(self, names: Iterable[str]) -> Iterator[str]:
        """The first of them that fit into half the budget together, as far as their sizes are known."""
        room = self.cache.budget_bytes // 2
        for name in dict.fromkeys(names):
            size = self.cache.files[name].size
            if size is None or size > room:
                return
            room -= size
            yield name

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._waiting or self._stop.is_set():
                    self._thread = None
                    return
                name = self._waiting.popleft()
                self._looked[name] = time.monotonic()
            with suppress(RemoteError):  # no room now, or a store that fails: who reads it will know
                self.cache.lease(name, wait=False, stop=self._stop).release()
