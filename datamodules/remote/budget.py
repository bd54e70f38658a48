"""Keeps the shards of a cache folder within a number of bytes: the least recently used go first."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

from omni.datamodules.remote.lock import Lock

PART = ".part"
"""Suffix of a download that isn't finished; the file has its final size from the start."""


def discard(path: Path) -> None:
    """Delete a file whose exclusive lock the caller has, and give its room back though others have it open.

    The name goes first: who reads without a lock, and finds behind the read that the file has a name, knows that
    it was whole.
    """
    with path.open("r+b") as file:
        path.unlink()
        file.truncate()


class Budget:
    """Makes room in a cache folder. All state is in the folder: files, and locks whose times tell the last use."""

    def __init__(self, folder: Path, state: Path, limit: int) -> None:
        """
        Args:
            folder: of the shards.
            state: folder of the locks and unfinished downloads.
            limit: bytes that both may take.
        """
        self.folder, self.state, self.limit = folder, state, limit

    def lock_of(self, name: str) -> Lock:
        """The lock of a file, not taken yet."""
        return Lock(self._lock_path(name))

    def part_of(self, name: str) -> Path:
        """Where a file is while it is downloaded."""
        return self.state / f"{name}{PART}"

    def reserve(self, name: str, size: int) -> int | None:
        """Hold ``size`` bytes for the download of ``name``, whose lock the caller has.

        Returns the number of shards evicted; ``None``, with nothing evicted, where too much is in use.
        """
        with Lock(self.state / "budget") as gate, ExitStack() as locks:
            gate.wait(shared=False)
            held = sorted(self._held())
            free = self.limit - sum(size for *_, size in held)
            victims = []
            for _, _, path, held_size in held:
                if free >= size:
                    break
                lock = locks.enter_context(self.lock_of(path.name.removesuffix(PART)))
                if (
                    lock.try_lock(shared=False) and path.exists()
                ):  # else a download that has just been finished
                    victims.append(path)
                    free += held_size
            if free < size:
                return None
            for path in victims:
                discard(path)
            with self.part_of(name).open("wb") as part:
                part.truncate(size)
            return sum(path.suffix != PART for path in victims)

    def touch(self, name: str) -> None:
        """Note that a file was used now, which has been leased before."""
        os.utime(self._lock_path(name))

    def _lock_path(self, name: str) -> Path:
        return self.state / f"{name}.lock"

    def _held(self) -> list[tuple[bool, int, Path, int]]:
        """What takes room, as (finished, time of last use, path, bytes): dead processes' downloads come first.

        A download that is finished meanwhile may be listed twice, and is never missed: so downloads are looked for
        first.
        """
        found = []
        for path in [*self.state.glob(f"*.tar{PART}"), *self.folder.glob("*.tar")]:
            try:
                size = path.stat().st_size
                used = self._lock_path(path.name.removesuffix(PART)).stat().st_mtime_ns
            except FileNotFoundError:  # renamed or given up meanwhile
                continue
            found.append((path.suffix != PART, used, path, size))
        return found
