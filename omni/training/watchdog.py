"""A thread that ends a process which makes no progress, after it has written where all its threads stand."""

from __future__ import annotations

import faulthandler
import os
import socket
import threading
import time
from pathlib import Path

from omni.training.exit_codes import HUNG

LOOKS = 20
"""In the time that is allowed."""


class Watchdog:
    """Writes the stacks after ``seconds`` without ``beat``, and leaves with ``HUNG`` after ``grace`` more.

    The grace is for other processes, which wait for this one, to write theirs: a launcher ends them all when one has
    ended. A process that holds Python's lock for ever is ended, too, with code 1: by a timer of ``faulthandler``,
    which needs no lock.
    """

    def __init__(self, path: Path, seconds: float, grace: float) -> None:
        """
        Args:
            path: file of the stacks; made when it is needed.
            seconds: without progress.
            grace: seconds between writing and leaving.
        """
        self.path, self.seconds, self.grace = path, seconds, grace
        self.doing = "starting"
        """For the file: what was begun last."""
        self._beat = time.monotonic()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._beat = time.monotonic()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a", encoding="utf-8")
        self._thread.start()

    def beat(self, doing: str) -> None:
        """There is progress; ``doing`` is what comes next."""
        self._beat, self.doing = time.monotonic(), doing

    def stop(self) -> None:
        """Watch no more. A file in which nothing was written is removed."""
        self._stopped.set()
        self._thread.join()
        faulthandler.cancel_dump_traceback_later()
        self._file.close()
        if self.path.exists() and self.path.stat().st_size == 0:
            self.path.unlink()

    def _watch(self) -> None:
        written = False
        while not self._stopped.wait(min(self.seconds / LOOKS, self.grace)):
            idle = time.monotonic() - self._beat
            if idle < self.seconds:
                written = False
                faulthandler.dump_traceback_later(self.seconds + 2 * self.grace, exit=True, file=self._file)
            elif not written:
                self._write(idle)
                written = True
            elif idle >= self.seconds + self.grace:
                os._exit(HUNG)

    def _write(self, idle: float) -> None:
        host, when = socket.gethostname(), time.strftime("%Y-%m-%d %H:%M:%S")
        self._file.write(
            f"{when}, process {os.getpid()} on {host}: no progress for {idle:.0f} s, {self.doing}\n"
        )
        self._file.flush()
        faulthandler.dump_traceback(file=self._file, all_threads=True)
        self._file.write("\n")
        self._file.flush()
