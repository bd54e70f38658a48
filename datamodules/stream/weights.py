"""How much of each source a run sees, in tokens, and from which step on."""

from __future__ import annotations

import bisect
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, kw_only=True)
class MixtureConfig:
    """Shares of the sources, counted in positions. By default as large as the sources are."""

    temperature: float = 1.0
    """Without ``weights`` a source of n positions weighs n ** (1 / temperature): 1 takes the sources as they
    are, more makes them more equal."""
    weights: dict[int, dict[str, float]] = field(default_factory=dict)
    """From a step on: weight of each source. ``{0: {web: 3, books: 1}, 1000: {web: 1, books: 1}}``."""

    def __post_init__(self) -> None:
        if self.temperature <= 0:
            raise ValueError(f"data.plan.mixture.temperature must be above 0, got {self.temperature}")
        if self.weights and min(self.weights) != 0:
            raise ValueError(
                f"data.plan.mixture.weights must begin at step 0, got the steps {sorted(self.weights)}"
            )
        for step, weights in self.weights.items():
            where = f"data.plan.mixture.weights.{step}"
            for name, weight in weights.items():
                if not 0 <= weight < float("inf"):
                    raise ValueError(f"{where}.{name} must be a number of at least 0, got {weight}")
            if not any(weights.values()):
                raise ValueError(f"{where}: at least one source must weigh more than 0, got {weights}")


class Schedule:
    """Weights of the sources, which change at some steps. A *phase* is a stretch of steps between changes."""

    def __init__(self, config: MixtureConfig, positions: Mapping[str, int]) -> None:
        """``positions`` is the size of each source by name.

        Raises:
            ValueError: weights that name other sources than there are.
        """
        names = list(positions)
        if config.weights:
            self.starts = sorted(config.weights)
            found = [_in_order(config.weights[step], names, step) for step in self.starts]
        else:
            self.starts = [0]
            found = [[positions[name] ** (1 / config.temperature) for name in names]]
        self.shares = [np.array(weights, dtype=np.float64) / sum(weights) for weights in found]

    def phase(self, step: int) -> int:
        """Number of the phase that ``step`` belongs to."""
        return bisect.bisect_right(self.starts, step) - 1

    def share(self, phase: int) -> Float[np.ndarray, " sources"]:
        """Share of each source in the positions of a phase; they sum to 1."""
        return self.shares[phase]

    def end(self, phase: int) -> int | None:
        """First step of the next phase; none if the phase is the last."""
        return self.starts[phase + 1] if phase + 1 < len(self.starts) else None


def _in_order(weights: dict[str, float], names: list[str], step: int) -> list[float]:
    where = f"data.plan.mixture.weights.{step}"
    for name in weights:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"{where}: unknown source {name!r}, the sources are {names}{hint}")
    missing = [name for name in names if name not in weights]
    if missing:
        raise ValueError(f"{where}: no weight for {missing}; 0 leaves a source out")
    return [weights[name] for name in names]
