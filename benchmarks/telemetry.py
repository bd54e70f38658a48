"""What router telemetry and drift alarms cost a training step of the demo.

Command:  python -m benchmarks.telemetry --demo runs/demo [--rounds 20] [--json FILE]
          (runs/demo as `omni demo --until tokenizers` leaves it)
Time:     a minute
Result:   CPU time of one thread: a step by itself, what a look adds to it, and the share of all steps that this comes
          to at the default intervals

Steps of all kinds take turns in one run, so that other work on the machine falls on all alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Mapping
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

IDLE = "idle"
"""Steps at which no callback looks; the others are named after the one that does."""
CONFIGS = Path(__file__).parents[1] / "configs"


class TakeTurns(lightning.Callback):
    """Lets one callback look at a step, another at the next, and none at the one after all have, and times them."""

    def __init__(self, callbacks: Mapping[str, Telemetry]) -> None:
        self.callbacks, self.kinds = callbacks, (IDLE, *callbacks)
        self.seconds: dict[str, list[float]] = {kind: [] for kind in self.kinds}
        self.inside: list[float] = []
        """Of the idle steps: what the callbacks take to see that there is nothing to do, and that losses are finite."""

    def on_train_start(self, *event: Any) -> None:
        """Callbacks may note where a run begins."""
        for callback in self.callbacks.values():
            callback.on_train_start(*event)

    def on_train_batch_start(self, trainer: lightning.Trainer, *event: Any) -> None:
        """Start the clock."""
        turn, place = divmod(trainer.global_step, len(self.kinds))
        self.kind = self.kinds[(place + turn) % len(self.kinds)]  # another one first each turn
        self.started = time.process_time()
        for name, callback in self.callbacks.items():
            callback.every_n_steps = int(name == self.kind)
            callback.on_train_batch_start(trainer, *event)
        self.before = time.process_time() - self.started

    def on_train_batch_end(self, trainer: lightning.Trainer, *event: Any) -> None:
        """Stop it; the first two turns aren't counted."""
        ended = time.process_time()
        for callback in self.callbacks.values():
            callback.on_train_batch_end(trainer, *event)
        now = time.process_time()
        if trainer.global_step > 2 * len(self.kinds):
            inside = self.before + now - ended if self.kind == IDLE else 0.0
            self.seconds[self.kind].append(now - self.started - inside)
            self.inside += [inside] * (self.kind == IDLE)


def measure(demo: Path, callbacks: Mapping[str, Telemetry], rounds: int) -> TakeTurns:
    """Train with the callbacks in turn."""
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
            max_steps=(2 + rounds) * len(turns.kinds),
            accelerator="cpu",
            gradient_clip_val=1.0,
            logger=[CSVLogger(folder), TensorBoardLogger(folder)],
            callbacks=[turns],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, data)
    return turns


def figures_of(turns: TakeTurns) -> dict[str, float]:
    """Milliseconds by medians of differences within a turn, and the share at the default intervals."""
    idle = turns.seconds[IDLE]
    step, inside = statistics.median(idle), statistics.median(turns.inside)
    added = {
        name: statistics.median(look - one for look, one in zip(turns.seconds[name], idle, strict=True))
        for name in turns.callbacks
    }
    interval, pictures = RouterTelemetry().every_n_steps, RouterTelemetry().picture_every
    drawing = (added["pictures"] - added["router"]) / pictures
    share = (inside + (added["router"] + drawing + added["drift"]) / interval) / step
    milliseconds = {"step": step, "idle": inside, **added}
    return {f"{name}_ms": round(1e3 * value, 3) for name, value in milliseconds.items()} | {
        "share": round(share, 5)
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--demo", type=Path, default=Path("runs/demo"), help="folder with shards and tokenizers"
    )
    parser.add_argument("--rounds", type=int, default=20, help="turns of four steps")
    parser.add_argument("--json", type=Path, help="where the figures go")
    args = parser.parse_args()
    torch.set_num_threads(1)
    callbacks: dict[str, Telemetry] = {
        "router": RouterTelemetry(picture_every=0),
        "pictures": RouterTelemetry(picture_every=1),
        "drift": DriftAlarms(),
    }
    figures = figures_of(measure(args.demo, callbacks, args.rounds))
    print(json.dumps(figures, indent=1))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
