"""Results of a study that nobody ran: what the report's tests are given."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from omni.ablation.budget import PlannedPart, PlannedRun
from omni.ablation.expand import Part, Run
from omni.ablation.order import WindowHash
from omni.ablation.outcomes import POOLED, Outcomes
from omni.ablation.results import RunResult, StudyResults, conclude
from omni.ablation.study_file import read_study
from omni.cli.ablate.checkpoint_stage import Measured
from omni.cli.ablate.costs import SPOKEN, Cost, Latency
from omni.evaluation.judges.verdict import NOTHING
from omni.evaluation.results import Example
from omni.sequence import Audio, Image, Text

VARIANTS = ("unified", "encoder", "cascade")
EXAMPLES = 40
SHARES = ("image_to_text_exact", "speaker_exact", "text_to_audio_judged")


def study_results(
    folder: Path, sizes: Sequence[str] = ("",), seeds: Sequence[int] = (0, 1, 2)
) -> StudyResults:
    """Three variants: one is better at text, no different at pictures, and one of its runs failed."""
    values: dict[str, Any] = {
        "name": "made_up",
        "question": "Is one transformer for everything better than encoders in front of a language model?",
        "config": "fit.yaml",
        "variants": {
            "unified": {"about": "patches and frames as they are"},
            "encoder": {},
            "cascade": {"about": "plain text between stages", "stages": {"text_to_text": {"share": 1.0}}},
        },
        "seeds": list(seeds),
        "sizes": {name: {} for name in sizes} if sizes != ("",) else None,
        "budget": {"match": "flops", "steps": 100},
        "data": {"tokenizers": "t", "train": "s", "heldout": "h"},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in values.items() if v is not None}, sort_keys=False))
    study = read_study(path)
    runs = []
    for seed in seeds:
        for number, size in enumerate(study.sizes):
            for variant in study.variants:
                name = "-".join([variant.name, *([size.name] if size.name else []), f"seed{seed}"])
                run = Run(name, variant, size, seed, ())
                part = PlannedPart(Part("", 1.0, {}), 100, 2e5, 1e12 * 4**number, 5e6, 3_700_000, 1_900_000)
                runs.append(
                    _result(folder / name, PlannedRun(run, (part,)), seed == 2 and variant.name == "encoder")
                )
    spread = {"size": "", "figure": "training FLOPs", "smallest": 1e12, "largest": 1.001e12, "share": 0.001}
    return conclude(study, runs, {"tolerance": 0.02, "spreads": [spread], "runs": []})


def _result(folder: Path, planned: PlannedRun, failed: bool) -> RunResult:
    if failed:
        return RunResult(planned, folder, "failed", error="fit: exit status 1\nRuntimeError: it went wrong")
    rng = np.random.default_rng([planned.run.seed, VARIANTS.index(planned.run.variant.name)])
    ahead = planned.run.variant.name == "encoder"
    _write_log(folder, rng, ahead)
    outcomes: dict[str, dict[str, tuple[float, float]]] = {}
    hard = np.random.default_rng(0).normal(3.0, 0.5, EXAMPLES)
    scale = (planned.flops / 1e12) ** -0.05
    for figure, gain in zip(POOLED, (1.5 if ahead else 0.0, 0.0, 0.1), strict=True):
        values = scale * hard - gain + rng.normal(0, 0.05) + rng.normal(0, 0.1, EXAMPLES)
        outcomes[figure] = {f"d{n}": (float(value), 1.0) for n, value in enumerate(values)}
    for figure in SHARES:
        right = rng.random(EXAMPLES) < (0.2 if planned.run.variant.name == "cascade" else 0.7)
        outcomes[figure] = {f"e{n}": (float(one), 1.0) for n, one in enumerate(right)}
    order = {0: WindowHash(4096, "d", "r"), 1: WindowHash(4096, "e", "s")}
    found: Outcomes = outcomes
    seconds, peak = {"fit": 120.0, "eval": 40.0}, {"fit": 1.3, "eval": 1.1}
    return RunResult(planned, folder, "done", None, seconds, peak, found, {}, 2.01e5, order)


def _write_log(folder: Path, rng: np.random.Generator, ahead: bool) -> None:
    log = folder / "logs" / "version_0" / "metrics.csv"
    log.parent.mkdir(parents=True)
    names = [f"{stage}/{name}" for stage in ("train", "val") for name in ("text", "image", "audio")]
    with log.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["step", *names])
        writer.writeheader()
        for step in range(9, 100, 10):
            base = 5 * np.exp(-step / 60) + 1 - 0.3 * ahead
            writer.writerow({"step": step} | {name: base + rng.normal(0, 0.05) for name in names})


def measured() -> Measured:
    """Costs, use of experts and samples of the three."""
    costs = {}
    for number, name in enumerate(VARIANTS):
        latency = {
            "image_to_text": Latency(0.02 + 0.01 * number, 0.05 + 0.02 * number, 3.0),
            SPOKEN: Latency(0.1, 0.4 + 0.3 * number, 14.0),
        }
        if name == "cascade":
            stages = (("audio_to_text", 0.2), ("text_to_audio", 0.8))
            costs[name] = Cost(latency=latency | {SPOKEN: Latency(1.0, 1.0, 1.0, stages)})
        else:
            costs[name] = Cost({"image_to_text": 17.0}, 0.5, 64.0, 1100.0, latency)
    load_XME = np.random.default_rng(0).dirichlet(np.ones(8), (2, 3))
    return Measured(
        costs=costs,
        loads={"unified": load_XME},
        samples={name: _samples(name) for name in VARIANTS},
        missing={"other": "its checkpoint is damaged"},
    )


def _samples(name: str) -> list[Example]:
    pixels = np.repeat((np.eye(8) * 255).astype(np.uint8)[..., None], 3, axis=2)
    wave = np.sin(np.arange(2000) / 9).astype(np.float32) * 0.3
    right = name != "cascade"
    return [
        Example(
            "a", "image_to_text", (Image(pixels), Text("which digit?")), (Text("seven", loss=True),), "seven",
            Text("seven" if right else "one"), {"exact": NOTHING}, {"exact": right}, right,
        ),
        Example(
            "b", "text_to_audio", (Text("say four"),), (Audio(wave, 8000, loss=True),), "four",
            Audio(wave, 8000), {}, {}, None,
        ),
    ]  # fmt: skip
