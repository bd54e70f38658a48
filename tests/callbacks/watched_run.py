"""Runs with router telemetry and drift alarms, what they logged, and a model that is made to diverge.

``python -m torch.distributed.run --nproc-per-node 2 -m tests.callbacks.watched_run CORPUS`` is one rank of two: it
writes what it logged to ``CORPUS/rank-r.json``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.loggers.logger import Logger

from omni.callbacks.drift import DriftAlarms
from omni.callbacks.router import RouterTelemetry
from omni.model import OmniTransformer
from omni.training.pretrain import Pretrain
from tests.tiny_run import fit


class Kept(Logger):
    """Keeps what is logged, by step."""

    name, version = "kept", 0

    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[int, dict[str, float]] = {}

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        assert step is not None
        self.steps.setdefault(step, {}).update(metrics)

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing to keep."""


class BeforeStep(lightning.Callback):
    """Does something to the model before each step from one on (counted from 1)."""

    def __init__(self, step: int, act: Callable[[OmniTransformer], Any]) -> None:
        self.step, self.act = step, act

    def on_train_batch_start(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, *_: Any
    ) -> None:
        if trainer.global_step + 1 >= self.step:
            assert isinstance(pl_module, Pretrain)
            with torch.no_grad():
                self.act(pl_module.model)


def watched(corpus: Path, **settings: Any) -> dict[int, dict[str, float]]:
    """``router/...`` and ``drift/...`` of three steps, each looked at, in fp64."""
    kept = Kept()
    fit(
        corpus,
        corpus / "out",
        dtype=torch.float64,
        max_steps=3,
        callbacks=[RouterTelemetry(1, each_expert=True), DriftAlarms(1)],
        logger=kept,
        log_every_n_steps=1,
        **settings,
    )
    return {
        step: {name: float(value) for name, value in found.items() if name.startswith(("router/", "drift/"))}
        for step, found in kept.steps.items()
    }


def main(corpus: Path) -> None:
    """One of two ranks."""
    torch.set_num_threads(1)
    steps = watched(corpus, batch_rows=1, devices=2, strategy="ddp")
    (corpus / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(steps))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
