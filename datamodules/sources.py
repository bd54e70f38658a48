"""The sources of a run: folders of shards by name, and how much of each the run sees."""

from __future__ import annotations

from dataclasses import dataclass, replace

from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.source import SINGLE
from omni.datamodules.stream.weights import MixtureConfig


@dataclass(frozen=True, kw_only=True)
class SourceConfig:
    """One source of documents."""

    folder: str
    """Folder of shards, or its URL."""
    weight: float | None = None
    """Share of the positions, against the weights of the other sources; all have one or none. Without weights
    ``data.plan.mixture`` decides, by which sources come in proportion to their size by default."""


Sources = str | dict[str, SourceConfig]
"""A folder, or sources by name."""


def named(sources: Sources, setting: str) -> dict[str, SourceConfig]:
    """Sources by name; ``setting`` is what the user calls them.

    Raises:
        ValueError: there is none.
    """
    if isinstance(sources, str):
        return {SINGLE: SourceConfig(folder=sources)}
    if not sources:
        raise ValueError(f"{setting}: no sources, expected a folder or {{NAME: {{folder: FOLDER}}}}")
    return sources


def weighted(plan: PlanConfig, sources: dict[str, SourceConfig]) -> PlanConfig:
    """The plan's settings with the weights of the sources, where they have some.

    Raises:
        ValueError: only some have a weight, or ``plan.mixture`` says something else.
    """
    weights = {name: one.weight for name, one in sources.items() if one.weight is not None}
    if not weights:
        return plan
    if missing := sorted(sources.keys() - weights.keys()):
        raise ValueError(f"data.train: no weight for {missing}; give all sources a weight, or none")
    if plan.mixture != MixtureConfig():
        raise ValueError(
            f"data.train has the weights {weights}, and data.plan.mixture is set, too: keep one of them "
            f"(data.plan.mixture.weights can change from a step on)"
        )
    return replace(plan, mixture=MixtureConfig(weights={0: weights}))


def check_unweighted(sources: dict[str, SourceConfig], setting: str) -> None:
    """Raise ``ValueError`` where a source that is gone through once has a weight."""
    for name, one in sources.items():
        if one.weight is not None:
            raise ValueError(
                f"{setting}.{name}.weight is {one.weight:g}, but every document comes once there: leave it out"
            )
