"""The whole state of a stream: counters, and what they count. Under 1 KB, and the same on every rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from omni.datamodules.stream.mixture import Counters


@dataclass(frozen=True)
class PlanState:
    """Where a plan is, between two steps."""

    step: int
    """The next step."""
    window: int
    """The window that the step's first row belongs to."""
    row: int
    """Rows of that window that were given."""
    phase: int
    """Phase of the mixture's weights before that window."""
    counters: tuple[Counters, ...]
    """By source, before that window."""

    def first_row(self, global_rows: int) -> int:
        """Number of the window's first row in the whole run."""
        return self.step * global_rows - self.row


class Progress(NamedTuple):
    """What a run has had of a source."""

    documents: int
    """A document that is split counts with its beginning."""
    positions: int
    epochs: float
    """Passes over the documents that can be used."""


def pack_state(state: PlanState, fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """Plain numbers, strings, lists and dictionaries for a checkpoint."""
    return {
        "plan": dict(fingerprint),
        "step": state.step,
        "window": state.window,
        "row": state.row,
        "phase": state.phase,
        "counters": [list(counters) for counters in state.counters],
    }


def unpack_state(saved: Mapping[str, Any], fingerprint: Mapping[str, Any]) -> PlanState:
    """The state that ``pack_state`` packed under the same plan.

    Raises:
        ValueError: it belongs to another plan; names the fields that differ.
    """
    if "plan" not in saved:
        raise ValueError(
            f"the saved state of the data has no plan, only {sorted(saved)}: it is of another kind"
        )
    theirs = saved["plan"]
    differing = [
        f"{name} was {theirs.get(name, 'not there')!r}, is {fingerprint.get(name, 'not there')!r}"
        for name in sorted({*theirs, *fingerprint})
        if theirs.get(name) != fingerprint.get(name)
    ]
    if differing:
        raise ValueError(
            "the saved state of the data belongs to another plan: "
            + "; ".join(differing)
            + ". Resume with the settings and shards of the saved run, or start a new run from its weights"
        )
    counters = tuple(Counters(*values) for values in saved["counters"])
    return PlanState(saved["step"], saved["window"], saved["row"], saved["phase"], counters)
