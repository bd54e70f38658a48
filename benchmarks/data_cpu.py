"""CPU time of a process and all that it started."""

from __future__ import annotations

import os
import resource
from pathlib import Path

PROCESSES = Path("/proc")
USER, SYSTEM, CHILDREN_USER, CHILDREN_SYSTEM = 11, 12, 13, 14
"""Fields of ``/proc/PID/stat`` behind the name, in ticks."""
PARENT = 1


def cpu_seconds() -> float:
    """User and system time of this process, of the children that it waited for, and of all that live.

    Exact for those that have ended; to a hundredth of a second for those that live, and nothing of them where there
    is no ``/proc``.
    """
    own = [resource.getrusage(whose) for whose in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    ticks = sum(sum(map(int, stat[USER : CHILDREN_SYSTEM + 1])) for stat in _descendants())
    return sum(usage.ru_utime + usage.ru_stime for usage in own) + ticks / os.sysconf("SC_CLK_TCK")


def _descendants() -> list[list[str]]:
    """Fields of each living descendant, behind its name."""
    stats: dict[int, list[str]] = {}
    for path in PROCESSES.glob("[0-9]*/stat"):
        try:
            stats[int(path.parent.name)] = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
    family = {os.getpid()}
    found: list[list[str]] = []
    while new := [pid for pid, stat in stats.items() if int(stat[PARENT]) in family and pid not in family]:
        family.update(new)
        found += [stats[pid] for pid in new]
    return found
