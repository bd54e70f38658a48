"""Opens what a run trained, to answer with it."""

from __future__ import annotations

from pathlib import Path

from omni.ablation.results import RunResult
from omni.baselines.systems import System, open_system


def system_path(result: RunResult) -> Path:
    """What ``omni eval`` and ``omni generate`` take for a checkpoint."""
    if result.planned.run.variant.stages:
        return result.folder
    return result.folder / "checkpoints" / "last.ckpt"


def system_of(result: RunResult) -> System:
    """The model, or the cascade, of a run.

    Raises:
        ValueError: it can't be read.
    """
    return open_system(system_path(result))
