"""What is measured on the checkpoints of a study: costs, use of experts, and samples side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float

from omni.ablation.results import RunResult, StudyResults
from omni.baselines.systems import System
from omni.cli.ablate.costs import Cost, measure_costs
from omni.cli.ablate.data_stage import Places
from omni.cli.ablate.systems import system_of
from omni.cli.demo.evaluation_stage import router_use
from omni.cli.eval import evaluate_checkpoint
from omni.datamodules.shards.reader import ShardReader
from omni.evaluation.grading import Judges
from omni.evaluation.judge_folder import load_judges
from omni.evaluation.results import Example
from omni.evaluation.tasks import Task, task_of
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.sequence import Document

ROUTED = 400
"""Held-out documents at most that the use of experts is counted on."""


@dataclass(frozen=True, eq=False)
class Measured:
    """By variant, with the first seed at the largest size."""

    costs: Mapping[str, Cost] = field(default_factory=dict)
    loads: Mapping[str, Float[np.ndarray, "layers M E"]] = field(default_factory=dict)
    """Share of each modality's choices that fell on each expert; of variants with more than one."""
    samples: Mapping[str, Sequence[Example]] = field(default_factory=dict)
    """The same questions in the same order."""
    missing: Mapping[str, str] = field(default_factory=dict)
    """Variants that could not be opened, with the reason."""


def measure_checkpoints(results: StudyResults, places: Places) -> Measured:
    """Open one run of each variant and measure them side by side; what can't be opened is noted."""
    systems: dict[str, System] = {}
    missing: dict[str, str] = {}
    for variant in results.study.variants:
        run = _shown(results, variant.name)
        if run is None:
            missing[variant.name] = "no run of it has ended well"
            continue
        try:
            systems[variant.name] = system_of(run)
        except (ValueError, OSError, RuntimeError) as error:
            missing[variant.name] = str(error)
    if not systems:
        return Measured(missing=missing)
    documents = _documents(places.heldout, next(iter(systems.values())))
    measure = results.study.measure
    return Measured(
        costs=measure_costs(systems, documents, measure.latency, measure.rounds),
        loads=_loads(systems, documents),
        samples=_samples(systems, documents, measure.samples, places),
        missing=missing,
    )


def _shown(results: StudyResults, variant: str) -> RunResult | None:
    """The first seed's run at the last size that has one."""
    for size in reversed(results.study.sizes):
        if runs := results.of(variant, size.name):
            return runs[0]
    return None


def _documents(folder: Path, omni: System) -> list[Document]:
    reader = ShardReader(folder, omni.tokenizers.audio.fingerprint)
    return [reader[number] for number in range(len(reader))]


def _loads(systems: Mapping[str, System], documents: Sequence[Document]) -> dict[str, np.ndarray]:
    some = list(documents[:: max(1, len(documents) // ROUTED)][:ROUTED])
    models = {name: system for name, system in systems.items() if isinstance(system, Omni)}
    routed = {name: omni for name, omni in models.items() if omni.model.routers() and _experts(omni) > 1}
    return {name: router_use(omni, some).load.numpy() for name, omni in routed.items()}


def _experts(omni: Omni) -> int:
    return omni.model.config.moe.experts


def _samples(
    systems: Mapping[str, System], documents: Sequence[Document], each: int, places: Places
) -> dict[str, Sequence[Example]]:
    chosen: dict[str, list[Document]] = {}
    for document in documents:
        if isinstance(task_of(document), Task) and len(chosen.setdefault(document.source, [])) < each:
            chosen[document.source].append(document)
    asked = [document for found in chosen.values() for document in found]
    if not asked:
        return {}
    found: dict[str, Sequence[Example]] = {}
    judged = places.judges is not None and places.judges.is_dir()
    for name, omni in systems.items():
        judges = load_judges(places.judges, omni.tokenizers.text) if judged and places.judges else Judges()
        found[name] = evaluate_checkpoint(omni, asked, judges, SamplingOptions()).examples
    return found
