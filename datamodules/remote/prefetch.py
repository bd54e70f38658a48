"""Downloads the shards that the plan needs next, in a thread of its own, a few ahead of their use."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

from omni.datamodules.remote.cache import ShardCache
from omni.datamodules.remote.errors import NoRoomError
from omni.datamodules.remote.lease import Lease

_ROOM_POLL = 0.5  # seconds until the thread looks again for room in the budget
_LONGEST_CLOSE = 5.0  # seconds to wait for the thread: a request that is under way can't be called off


@dataclass
class _Ahead:
    """A shard that was asked for ahead of its use."""

    name: str
    lease: Lease | None = None
    error: Exception | None = None
    starved: bool = False
    """There was no room for it at the last look."""
    dropped: bool = False
    """Nobody waits for it any more."""

    def drop(self) -> None:
        self.dropped = True
        if self.lease is not None:
            self.lease.release()


class Prefetcher:
    """Keeps the next shards of a plan in the cache; a context manager that stops its thread at the end.

    For one consumer, which leases the shards in the order of ``names``, in the process that made it; elsewhere
    (a forked worker) and for names out of order ``lease`` works too, without prefetching.
    """

    def __init__(self, cache: ShardCache, names: Iterable[str], ahead: int = 2) -> None:
        """
        Args:
            cache: that holds the shards; its budget should hold ``ahead`` shards and those in use.
            names: of shards, in the order of their use; read ahead in the thread. May be endless.
            ahead: shards that are kept for the calls to come.
        """
        if ahead < 1:
            raise ValueError(f"ahead must be at least 1 shard, got {ahead}")
        self.cache, self.ahead = cache, ahead
        self._names = names
        self._window: deque[_Ahead] = deque()
        self._last: str | None = None
        self._failed: Exception | None = None
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._process = os.getpid()
        self._thread = threading.Thread(target=self._run, name="shard prefetch", daemon=True)
        self._thread.start()

    def lease(self, name: str) -> Lease:
        """The shard on the local disk, as ``ShardCache.lease``; what was ahead of it in the plan is past.

        Raises:
            RemoteError: this shard's download failed, in the thread or now.
            Exception: what the iterator of names raised.
        """
        if os.getpid() != self._process or self._stop.is_set():
            return self.cache.lease(name)
        with self._changed:
            item = self._take(name)
            self._changed.notify_all()
            if item is not None:
                self._changed.wait_for(
                    lambda: item.lease or item.error or item.starved or self._stop.is_set()
                )
                if item.lease is not None:
                    self.cache.remote.counters.add("hits")
                    return item.lease
                if item.error is not None:
                    raise item.error
                item.dropped = True
                self._clear()  # what is held for later may be what is in the way
            if self._failed is not None:
                raise self._failed
        return self.cache.lease(name)

    def close(self) -> None:
        """Stop downloading and let go of what was fetched ahead."""
        if os.getpid() != self._process:
            return
        self._stop.set()
        with self._changed:
            self._clear()
            self._changed.notify_all()
        self._thread.join(_LONGEST_CLOSE)

    def __enter__(self) -> Prefetcher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, name: str) -> _Ahead | None:
        """The window's entry for a name, with all before it dropped; ``None`` where it isn't in the window."""
        if name == self._last:
            return None
        self._last = name
        if all(item.name != name for item in self._window):
            self._clear()  # the caller left the plan, or is faster: let the thread catch up
            return None
        while (item := self._window.popleft()).name != name:
            item.drop()
        return item

    def _clear(self) -> None:
        while self._window:
            self._window.popleft().drop()

    def _run(self) -> None:
        try:
            before = None
            for name in self._names:
                if name == before:
                    continue
                before = name
                with self._changed:
                    self._changed.wait_for(lambda: len(self._window) < self.ahead or self._stop.is_set())
                    if self._stop.is_set():
                        return
                    item = _Ahead(name)
                    self._window.append(item)
                self._fetch(item)
        except Exception as error:  # of the iterator: the next call raises it
            with self._changed:
                self._failed = error
                self._changed.notify_all()

    def _fetch(self, item: _Ahead) -> None:
        while not item.dropped:
            lease, error, starved = None, None, False
            try:
                lease = self.cache.lease(item.name, wait=False, stop=self._stop)
            except NoRoomError:
                starved = True
            except Exception as raised:  # the call that needs this shard raises it
                error = raised
            with self._changed:
                item.lease, item.error, item.starved = lease, error, starved
                if item.dropped:
                    item.drop()
                self._changed.notify_all()
                if not starved:
                    return
                self._changed.wait_for(lambda: item.dropped, _ROOM_POLL)
