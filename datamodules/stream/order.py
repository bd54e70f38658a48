"""Hashes of the order in which documents come, so that two runs can be compared."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from omni.datamodules.stream.plan import Plan
from omni.datamodules.stream.state import PlanState


@dataclass(frozen=True)
class WindowOrder:
    """One window of a plan."""

    window: int
    """Its number."""
    count: int
    """Pieces in it: documents, and parts of split ones."""
    documents: str
    """Hash of which documents it holds, whatever their lengths: 16 hexadecimal digits."""
    rows: str
    """Hash of the pieces of its rows, row by row in the order in which they are given."""


def window_order(plan: Plan, state: PlanState) -> WindowOrder | None:
    """The window that the next row belongs to; none behind the end of a plan.

    A window takes the next documents of the mixture, and packs them by their lengths. So two runs with the same
    seed, sources and settings have windows of the same documents even where they lay documents out in other
    lengths, as long as none becomes too long for a row.
    """
    window = plan.window_at(state)
    if window is None:
        return None
    pieces = np.concatenate(window.rows)
    names = repr([source.name for source in plan.sources]).encode()
    documents = np.sort(pieces[:, 0] << 48 | pieces[:, 1])
    starts = np.cumsum([len(row) for row in window.rows])
    return WindowOrder(
        state.window,
        len(pieces),
        _digest(names, documents),
        _digest(names, pieces, starts),
    )


def _digest(names: bytes, *arrays: np.ndarray) -> str:
    content = hashlib.blake2b(names, digest_size=8)
    for array in arrays:
        content.update(np.ascontiguousarray(array, dtype=np.int64).tobytes())
    return content.hexdigest()
