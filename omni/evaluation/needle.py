"""How often a needle was found, by length of the haystack and depth of the needle in it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from omni.evaluation.metrics.intervals import Interval, share_interval
from omni.evaluation.metrics.text import normalised


@dataclass(frozen=True)
class Trial:
    """One needle that was asked for."""

    length: int
    """Positions of the document."""
    depth: float
    """Share of the haystack before the needle."""
    expected: str
    answer: str

    @property
    def found(self) -> bool:
        """Whether the answer is the expected one, up to case and white space."""
        return normalised(self.answer) == normalised(self.expected)


@dataclass(frozen=True)
class Cell:
    """The trials at one length and depth, or at one length."""

    found: int
    trials: int

    @classmethod
    def of(cls, trials: Iterable[Trial]) -> Cell:
        """Count the needles that were found."""
        marks = [trial.found for trial in trials]
        return cls(sum(marks), len(marks))

    @property
    def share(self) -> float:
        """Of needles that were found."""
        return self.found / self.trials

    @property
    def interval(self) -> Interval:
        """95 % interval of the share."""
        return share_interval(self.found, self.trials)


@dataclass(frozen=True)
class NeedleTable:
    """All trials of a test."""

    trials: tuple[Trial, ...]

    @property
    def lengths(self) -> list[int]:
        """Lengths that were tested, shortest first."""
        return sorted({trial.length for trial in self.trials})

    @property
    def depths(self) -> list[float]:
        """Depths that were tested, from the beginning."""
        return sorted({trial.depth for trial in self.trials})

    def depths_at(self, length: int) -> list[float]:
        """Depths that were tested at a length."""
        return sorted({trial.depth for trial in self.trials if trial.length == length})

    def cell(self, length: int, depth: float | None = None) -> Cell:
        """The trials at a length, and at a depth if one is given."""
        return Cell.of(t for t in self.trials if t.length == length and depth in (None, t.depth))

    def figures(self) -> dict[str, Any]:
        """Shares with their intervals by length and depth, and each answer, for JSON."""
        return {
            "lengths": [
                {
                    "length": length,
                    "found": self.cell(length).share,
                    "interval": list(self.cell(length).interval),
                    "needles": self.cell(length).trials,
                    "depths": {
                        f"{depth:g}": self.cell(length, depth).share for depth in self.depths_at(length)
                    },
                }
                for length in self.lengths
            ],
            "answers": [
                {"length": t.length, "depth": t.depth, "expected": t.expected, "answer": t.answer}
                for t in self.trials
            ],
        }
