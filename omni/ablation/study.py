"""A study as its YAML file says it: variants, seeds, sizes, what is matched, and on what all are measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Match = Literal["flops", "active_parameters", "tokens"]
MATCHES: tuple[Match, ...] = ("flops", "active_parameters", "tokens")
TOLERANCE = 0.02
"""How far budgets may be apart, as a share, unless the study says otherwise."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One model of a variant that is made of several: it is trained alone, with its share of the budget."""

    name: str
    """Of the stage as ``omni cascade`` has it, such as ``audio_to_text``; it learns from the shards of that name."""
    share: float
    """Of the variant's budget; the shares of a variant sum to 1."""
    config: Path | None = None
    """Config of ``omni fit`` in place of the variant's."""
    set: Mapping[str, Any] = field(default_factory=dict)
    """Values by dotted config key, over those of the variant."""


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One of the things that are compared."""

    name: str
    config: Path | None = None
    """Config of ``omni fit`` in place of the study's."""
    set: Mapping[str, Any] = field(default_factory=dict)
    """Values by dotted config key, over those of the config; ``model.network`` may name a file."""
    about: str = ""
    """A sentence for the report."""
    stages: tuple[Stage, ...] = ()
    """Models of a cascade (``omni cascade``); none where it is one model."""


@dataclass(frozen=True, kw_only=True)
class Size:
    """All variants once more, larger or smaller."""

    name: str
    set: Mapping[str, Any] = field(default_factory=dict)
    """Values by dotted config key, under those of the variants."""
    steps: int | None = None
    """The budget's steps at this size."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What every run of one size may cost."""

    match: Match = "flops"
    """What is equal: training FLOPs; active parameters and tokens; or tokens alone."""
    steps: int | None = None
    """The amount, as optimizer steps of the baseline; a run takes as many as cost the same."""
    flops: float | None = None
    """The amount in training FLOPs, instead of ``steps``."""
    tokens: float | None = None
    """The amount in tokens (positions), instead of ``steps``."""
    tolerance: float = TOLERANCE
    """How far the matched figures may be apart: largest over smallest, less 1."""


@dataclass(frozen=True, kw_only=True)
class DemoData:
    """Data that the study makes by the demo's data stage."""

    seed: int = 0
    speech: Path | None = None
    """Folder of recordings; synthetic speech without one."""
    scale: float = 1.0
    """Share of the numbers of documents and of synthetic clips."""
    train: Mapping[str, int] = field(default_factory=dict)
    """Documents by source, where the demo has others."""
    heldout: Mapping[str, int] = field(default_factory=dict)
    """The same for what is held out."""


@dataclass(frozen=True, kw_only=True)
class Data:
    """What all variants are trained and measured on: made by the study (``demo``), or there already."""

    demo: DemoData | None = None
    folder: Path | None = None
    """With ``demo``: where the data are kept, for other studies too; in the study's folder by default."""
    tokenizers: Path | None = None
    train: Path | None = None
    """Folder of measured training shards."""
    heldout: Path | None = None
    """Folder of held-out shards."""
    stages: Path | None = None
    """Folder that ``omni cascade shards`` wrote, where a variant is a cascade."""
    judges: Path | None = None
    """Folder of judges (``omni demo`` saves them); figures on pictures and sound need them."""
    census: Mapping[str, Any] | None = None
    """What a dry run takes the data to hold while they aren't made: the fields of a ``Census`` under ``all`` or the
    name of a stage, with ``-delay`` or ``-flat`` behind it for these layouts of audio codes."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What is measured when a run has ended."""

    limit: int | None = None
    """Held-out documents of each source at most; all by default."""
    resamples: int = 2000
    """Of the bootstrap."""
    latency: int = 4
    """Prompts of each kind whose latency is measured; 0 for none."""
    rounds: int = 3
    """Times that each of them is answered by each variant."""
    samples: int = 2
    """Held-out examples of each task that the report shows side by side."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the dry run takes the machine to do."""

    flops_per_second: float | None = None
    """Training FLOPs; no time is predicted without it, unless runs of this study have ended."""
    overhead: float = 0.0
    """Seconds of a run beside its training: start, evaluation."""


@dataclass(frozen=True, kw_only=True)
class Study:
    """The whole file."""

    name: str
    question: str
    """What it asks, in a sentence for the report."""
    config: Path
    """Config of ``omni fit`` that all variants share."""
    set: Mapping[str, Any]
    """Values by dotted config key, over those of the config, for all variants."""
    variants: tuple[Variant, ...]
    """Swept keys are spelt out: a variant for each combination of their values."""
    baseline: str
    """The variant that the others are compared with."""
    seeds: tuple[int, ...]
    sizes: tuple[Size, ...]
    """One without changes where the file names none."""
    budget: Budget
    data: Data
    measure: Measure
    machine: Machine
    source: Path
    """The file."""

    def variant(self, name: str) -> Variant:
        """The variant of this name."""
        return next(variant for variant in self.variants if variant.name == name)
