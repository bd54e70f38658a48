"""What a difference shows, in a plain sentence. No one is named ahead where the interval holds zero."""

from __future__ import annotations

from omni.ablation.differences import Difference
from omni.ablation.figures import kind_of


def reading(figure: str, first: str, second: str, difference: Difference) -> str:
    """What the runs say about ``first`` against ``second``."""
    kind = kind_of(figure)
    unit = f" {kind.name}" if kind.name else ""
    interval = f"{kind.difference(difference.low)} to {kind.difference(difference.high)}"
    evidence = f"{kind.difference(difference.value)}{unit} (95 % interval {interval}; {basis(difference)})"
    if difference.holds_zero:
        said = f"These runs don't show which of {first} and {second} is ahead on {figure}: {evidence}."
    else:
        better = (difference.value < 0) == kind.lower_is_better
        ahead, behind = (first, second) if better else (second, first)
        said = f"{ahead} is ahead of {behind} on {figure}: {first} less {second} is {evidence}."
    if difference.seeds == 1:
        said += " With one seed this says nothing about other seeds."
    return said


def basis(difference: Difference) -> str:
    """On how much it rests."""
    seeds = "1 seed" if difference.seeds == 1 else f"{difference.seeds} seeds"
    return f"{seeds}, {difference.examples} example{'' if difference.examples == 1 else 's'}"
