"""What router telemetry and drift alarms cost a training step of the demo.

Command:  python -m benchmarks.telemetry --demo runs/demo [--rounds 40] [--json FILE]
          (runs/demo as `omni demo --until tokenizers` leaves it)
Time:     a minute
Result:   CPU time of one thread: a step without the callbacks, what they add to a step that they don't look at and
          to one that they do, and the share of all steps that this comes to at the default interval

Steps of the three kinds take turns in one run, so that other work on the machine falls on all alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning
import torch
import yaml
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from omni.callbacks.drift import DriftAlarms
from omni.callbacks.router import RouterTelemetry
from omni.callbacks.telemetry import Telemetry
from omni.checkpoint import config_from_dict
from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.stream.plan_config import PlanConfig
from omni.nn.config import ModelConfig
from omni.optim.config import OptimConfig
from omni.training.pretrain import Pretrain

KINDS = ("off", "idle", "look")
"""Steps without callbacks, with callbacks that don't look, and with a look."""
CONFIGS = Path(__file__).parents[1] / "configs"
SKIPPED = 2 * len(KINDS)
"""Steps at the start that aren't counted."""


class TakeTurns(lightning.Callback):
    """Passes the events of a step on to the callbacks, as its kind says, and times the step."""

    def __init__(self, callbacks: list[Telemetry]) -> None:
        self.callbacks = callbacks
        self.seconds: dict[str, list[float]] = {kind: [] for kind in KINDS}

    def on_train_start(self, *event: Any) -> None:
        """Callbacks may note where a run begins."""
        for callback in self.callbacks:
            callback.on_train_start(*event)

    def on_train_batch_start(self, trainer: lightning.Trainer, *event: Any) -> None:
        """Start the clock."""
        self.kind = KINDS[trainer.global_step % len(KINDS)]
        self.started = time.process_time()
        for callback in self.callbacks if self.kind != "off" else []:
            callback.every_n_steps = int(self.kind == "look")
            callback.on_train_batch_start(trainer, *event)

    def on_train_batch_end(self, trainer: lightning.Trainer, *event: Any) -> None:
        """Stop it."""
        for callback in self.callbacks if self.kind != "off" else []:
            callback.on_train_batch_end(trainer, *event)
        if trainer.global_step > SKIPPED:
            self.seconds[self.kind].append(time.process_time() - self.started)


def measure(demo: Path, callbacks: list[Telemetry], rounds: int) -> dict[str, list[float]]:
    """CPU seconds of the steps of each kind, in turn."""
    data_config = yaml.safe_load((CONFIGS / "data" / "demo.yaml").read_text())
    network = yaml.safe_load((CONFIGS / "model" / "demo.yaml").read_text())
    tokenizers = str(demo / "tokenizers")
    optim = OptimConfig(lr=1e-3, schedule="constant")
    module = Pretrain(tokenizers, config_from_dict(ModelConfig, network, "demo.yaml"), optim)
    plan = PlanConfig(**data_config["plan"])
    data = OmniDataModule(
        tokenizers, str(demo / "shards" / "train"), None, plan, data_config["batch_rows"], cache=True
    )
    turns = TakeTurns(callbacks)
    with TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_steps=SKIPPED + rounds * len(KINDS),
            accelerator="cpu",
            gradient_clip_val=1.0,
            logger=[CSVLogger(folder), TensorBoardLogger(folder)],
            callbacks=[turns],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, data)
    return turns.seconds


def shares(seconds: dict[str, list[float]], interval: int) -> dict[str, float]:
    """Milliseconds of a step and of what is added to it, by medians of differences within a turn."""
    off, idle, look = (seconds[kind] for kind in KINDS)
    step = statistics.median(off)
    idling = statistics.median(i - o for i, o in zip(idle, off, strict=True))
    looking = statistics.median(k - o for k, o in zip(look, off, strict=True))
    added = (idling * (interval - 1) + looking) / interval
    return {
        "step_ms": round(1e3 * step, 2),
        "idle_ms": round(1e3 * idling, 3),
        "look_ms": round(1e3 * looking, 2),
        "share": round(added / step, 5),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--demo", type=Path, default=Path("runs/demo"), help="folder with shards and tokenizers"
    )
    parser.add_argument("--rounds", type=int, default=40, help="turns of three steps")
    parser.add_argument("--json", type=Path, help="where the figures go")
    args = parser.parse_args()
    torch.set_num_threads(1)
    interval = RouterTelemetry().every_n_steps
    cases: dict[str, list[Telemetry]] = {
        "router_telemetry": [RouterTelemetry()],
        "drift_alarms": [DriftAlarms()],
        "both": [RouterTelemetry(), DriftAlarms()],
    }
    figures: dict[str, Any] = {"interval": interval}
    for name, callbacks in cases.items():
        figures[name] = shares(measure(args.demo, callbacks, args.rounds), interval)
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
