"""The use of a cached shard for a while."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from omni.datamodules.remote.lock import Lock


@dataclass(frozen=True)
class Lease:
    """A shard on the local disk that stays there until ``release``: a context manager that gives its path."""

    path: Path
    lock: Lock | None = None

    def release(self) -> None:
        """Let the shard be evicted, from this lease's side; a second time does nothing."""
        if self.lock is not None:
            self.lock.close()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.release()
