"""Locks between the processes of one machine: shared by readers, exclusive for who fetches or evicts.

``flock`` of the system, since it has both kinds (the ``filelock`` package has exclusive ones) and since the
kernel gives a lock back when its process dies. The cache folder must be on a local disk.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

from omni.datamodules.remote.errors import CancelledError

_POLL = 0.02  # seconds between two tries; flock itself waits without end and can't be called off


class Lock:
    """The lock of one cached file, and the record of what was fetched under its name.

    Lock files are never deleted: a process may be about to lock the one that another just unlinked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a+b")
        self._process = os.getpid()

    def try_lock(self, shared: bool) -> bool:
        """Take the lock, or change its kind; ``False`` where another holds it."""
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait(self, shared: bool, stop: threading.Event | None = None) -> None:
        """Take the lock as soon as it is free.

        Raises:
            CancelledError: ``stop`` was set.
        """
        while not self.try_lock(shared):
            self.pause(stop)

    def pause(self, stop: threading.Event | None = None) -> None:
        """Wait a moment before the next try.

        Raises:
            CancelledError: ``stop`` was set.
        """
        if (stop or threading.Event()).wait(_POLL):
            raise CancelledError(f"{self.path}: stopped by the caller")

    def record(self) -> dict[str, Any] | None:
        """What was written last; ``None`` where nothing was, or not to its end."""
        self._file.seek(0)
        try:
            return json.loads(self._file.read())
        except ValueError:
            return None

    def write_record(self, record: dict[str, Any]) -> None:
        """Replace the record; only under the exclusive lock."""
        self._file.truncate(0)
        self._file.write(json.dumps(record).encode())
        self._file.flush()

    def touch(self) -> None:
        """Note that the file was used now."""
        os.utime(self._file.fileno(), ns=(time.time_ns(),) * 2)  # left to the kernel it is a few ms coarse

    def drop(self) -> None:
        """Give the lock back, for all processes forked since it was taken; in one of those it does nothing."""
        if os.getpid() == self._process:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the lock back and close its file; a second time does nothing."""
        if not self._file.closed:
            self.drop()
            self._file.close()

    def __enter__(self) -> Lock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
