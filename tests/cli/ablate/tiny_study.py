"""A study of tiny models on the tiny corpus, and a way to run its commands in this process."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import yaml

from omni.cli.ablate.runner import Job
from omni.cli.main import main
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from tests.tiny import tiny_documents
from tests.tiny_model import tiny_config
from tests.tiny_run import GLOBAL_ROWS, ROW_LENGTH, write_corpus, write_measured

STEPS = 4
assert Omni.__name__, "loaded before its options are patched"


@dataclass(frozen=True, kw_only=True)
class Short(SamplingOptions):
    """Answers of four tokens at most."""

    max_text: int = 4


def write_study(folder: Path, **changes: Any) -> Path:
    """Corpus, config and study below ``folder``: dense against four experts, two seeds; four held-out documents."""
    corpus = write_corpus(folder / "corpus")
    write_measured(tiny_documents(4, seed=1), corpus / "heldout", corpus / "tokenizers")
    network = asdict(tiny_config())
    fit = {
        "model": {"network": network, "optim": {"lr": 3e-3, "warmup_steps": 2}},
        "data": {
            "plan": {"row_length": ROW_LENGTH, "global_rows": GLOBAL_ROWS, "window": 16},
            "batch_rows": GLOBAL_ROWS,
            "val_rows": 2,
        },
        "trainer": {"accelerator": "cpu", "devices": 1, "log_every_n_steps": 1},
        "source_telemetry": {"every_n_steps": 1},
    }
    (folder / "fit.yaml").write_text(yaml.safe_dump(fit))
    study: dict[str, Any] = {
        "name": "tiny",
        "question": "Do four experts help?",
        "config": "fit.yaml",
        "variants": {
            "dense": {"set": {"model.network.moe.experts": 1, "model.network.moe.top_k": 1,
                              "model.network.moe.expert_width": 32}},
            "four": {"about": "two of four experts"},
        },
        "seeds": [0, 1],
        "budget": {"match": "flops", "steps": STEPS, "tolerance": 0.2},
        "data": {name: str(corpus / name) for name in ("tokenizers", "train", "heldout")},
        "measure": {"limit": 2, "resamples": 100, "latency": 1, "rounds": 1, "samples": 1},
    }  # fmt: skip
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study | changes, sort_keys=False))
    return path


def run_here(jobs: Sequence[Job], at_once: int, tell: Any) -> None:
    """In place of ``run_jobs``: the same commands in this process, which spares each the start of torch.

    Answers of text are short: a model that was hardly trained doesn't end them.
    """
    for job in jobs:
        if job.done:
            continue
        job.folder.mkdir(parents=True, exist_ok=True)
        for command in job.commands[len(job.status["ended"]) :]:
            begun = time.monotonic()
            with patch("omni.inference.options.SamplingOptions", Short):
                code = main(list(command.arguments))
            job.status["seconds"][command.name] = time.monotonic() - begun
            job.status["peak_memory_gib"][command.name] = 0.5
            if code:
                job._end("failed", f"{command.name}: exit status {code}")
                break
            job.status["ended"].append(command.name)
        else:
            job._end("done", None)
        tell(f"{job.name}: {job.status['state']} ({os.getpid()})")
