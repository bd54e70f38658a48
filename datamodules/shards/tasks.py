"""One task of work over shards: where it may run, and what is done where it fails."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

TRIES = 3
PAUSE_SECONDS = 0.2
"""Before an item is tried again."""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Cluster:
    """A Ray cluster (the extra ``cluster``). Shards must lie where all of its machines find them."""

    address: str
    """``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``; ``local`` starts one on this machine."""
    workers: int | None = None
    """Tasks at a time; by default as many as the cluster has cores. The cores of a ``local`` one."""
    gpus: float = 0.0
    """GPUs of a task."""


@dataclass(frozen=True)
class Failed(Generic[Item]):
    """An item that could not be done."""

    item: Item
    error: str
    tries: int

    def __str__(self) -> str:
        return f"{self.item}: {self.error}" + (f" (tried {self.tries} times)" if self.tries > 1 else "")


def attempt(function: Callable[[Item], Result], item: Item) -> Result | Failed[Item]:
    """Run the function on an item, again where that may help; runs where the work is done."""
    for tries in range(1, TRIES + 1):
        try:
            return function(item)
        except Exception as error:
            if tries == TRIES or (isinstance(error, ValueError) and not isinstance(error.__cause__, OSError)):
                return Failed(item, _said(error), tries)
        time.sleep(PAUSE_SECONDS * tries)
    raise AssertionError(f"{TRIES} tries, none of which came to an end")


def _said(error: Exception) -> str:
    if isinstance(error, ValueError | OSError | ImportError):
        return str(error)
    last = traceback.extract_tb(error.__traceback__)[-1]  # a defect: say where
    return f"{type(error).__name__}: {error} ({Path(last.filename).name}:{last.lineno})"
