"""The settings of the plan."""

from __future__ import annotations

from dataclasses import dataclass, field

from omni.datamodules.stream.pieces import TooLong
from omni.datamodules.stream.weights import MixtureConfig


@dataclass(frozen=True, kw_only=True)
class PlanConfig:
    """Settings that decide the order."""

    row_length: int = 2048
    """S: positions of a row."""
    global_rows: int = 8
    """Rows of one optimizer step, over all ranks and accumulated batches."""
    window: int = 4096
    """Documents that are packed together; at most all that there are."""
    run: int = 16
    """Neighbouring documents that stay together in the shuffle, so that reads are coalesced."""
    seed: int = 0
    """Seed of the shuffle."""
    too_long: TooLong = "drop"
    """What is done with a document longer than a row; ``truncate`` and ``split`` cut no picture or clip."""
    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    """Shares of the sources."""
    attention_span: int = 12_288
    """Positions at which a document's attention costs as much as all the rest, about 12 times the model's
    width. Decides only which rank gets which rows of a step."""
    patch_cost: float = 1.0
    """What a patch to be learnt costs beyond other positions, in positions. Decides the same."""

    def __post_init__(self) -> None:
        for name in ("row_length", "global_rows", "window", "run", "attention_span"):
            if getattr(self, name) < 1:
                raise ValueError(f"data.plan.{name} must be at least 1, got {getattr(self, name)}")
