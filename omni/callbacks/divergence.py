"""What ends a run that diverges."""

from __future__ import annotations


class DivergenceError(ValueError):
    """An alarm or the guards have stopped the run; ``last.ckpt`` is of a step before."""
