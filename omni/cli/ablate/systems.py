"""Opens what a run trained, to answer with it."""

from __future__ import annotations

from omni.ablation.results import RunResult
from omni.inference.omni import Omni


def open_system(result: RunResult) -> Omni:
    """The model of a run.

    Raises:
        ValueError: it is made of several models, or its checkpoint can't be read.
    """
    if result.planned.run.variant.stages:
        raise ValueError(f"{result.name} is made of several models, which answer through `omni eval` only")
    return Omni.from_checkpoint(result.folder / "checkpoints" / "last.ckpt")
