"""What guards, preemption, watchdog and straggler report cost a training step.

Command:  python -m benchmarks.guards --demo runs/demo [--pairs 40] [--ranks 2] [--json FILE]
          (runs/demo as `omni demo --until tokenizers` leaves it)
Time:     a minute
Result:   time of a step with all of them over one with none, and what their hooks take

Steps with and without take turns in one run, so that other work on the machine falls on both alike. A pair is two
steps that follow each other, and which of them comes first changes from pair to pair. Time is the process's CPU time;
with `--ranks` also the clock's, since waiting for other ranks takes no CPU time. Times are those of rank 0.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning
import torch
import yaml
from lightning.pytorch.loggers import CSVLogger

from omni.callbacks.guards import Guards
from omni.callbacks.preemption import Preemption
from omni.callbacks.stragglers import Stragglers
from omni.callbacks.watchdog import HangWatchdog
from omni.checkpoint import config_from_dict
from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.stream.plan_config import PlanConfig
from omni.nn.config import ModelConfig
from omni.optim.config import OptimConfig
from omni.training.pretrain import Pretrain

CONFIGS = Path(__file__).parents[1] / "configs"
WARM = 4
"""Pairs that are not counted."""
Clocks = tuple[float, float]


def clocks() -> Clocks:
    """CPU time of the process, and the clock."""
    return time.process_time(), time.perf_counter()


class TakeTurns(lightning.Callback):
    """Passes the events of every other step on to the callbacks, and times both kinds of steps."""

    def __init__(self) -> None:
        self.callbacks = (Guards(), HangWatchdog(), Stragglers(every_n_steps=50), Preemption())
        self.seconds: dict[bool, list[Clocks]] = {True: [], False: []}
        """Of steps with the callbacks and without."""
        self.inside: list[float] = []
        """CPU time of the hooks alone, by step."""
        self.hooks = 0.0

    def tell(self, event: str, *arguments: Any) -> None:
        """Call the hooks of an event."""
        began = time.process_time()
        for callback in self.callbacks:
            getattr(callback, event)(*arguments)
        self.hooks += time.process_time() - began

    def on_train_start(self, *event: Any) -> None:
        """Threads and handlers are there in both kinds of steps."""
        self.tell("on_train_start", *event)

    def on_train_batch_start(self, trainer: lightning.Trainer, *event: Any) -> None:
        """Choose the kind of the step, and start the clock."""
        pair, second = divmod(trainer.global_step, 2)
        self.on, self.hooks, self.began = bool((pair + second) % 2), 0.0, clocks()
        if self.on:
            self.tell("on_train_batch_start", trainer, *event)

    def on_after_backward(self, *event: Any) -> None:
        """Pass on."""
        if self.on:
            self.tell("on_after_backward", *event)

    def on_before_optimizer_step(self, *event: Any) -> None:
        """Pass on."""
        if self.on:
            self.tell("on_before_optimizer_step", *event)

    def on_train_batch_end(self, trainer: lightning.Trainer, *event: Any) -> None:
        """Pass on, and stop the clock."""
        if self.on:
            self.tell("on_train_batch_end", trainer, *event)
            self.inside.append(self.hooks)
        cpu, clock = (now - then for now, then in zip(clocks(), self.began, strict=True))
        self.seconds[self.on].append((cpu, clock))

    def on_train_end(self, *event: Any) -> None:
        """Handlers go."""
        self.tell("on_train_end", *event)

    def teardown(self, trainer: lightning.Trainer, module: lightning.LightningModule, stage: str) -> None:
        """Threads go."""
        self.tell("teardown", trainer, module, stage)


def measure(demo: Path, pairs: int, ranks: int) -> TakeTurns:
    """Train the demo's model."""
    data_config = yaml.safe_load((CONFIGS / "data" / "demo.yaml").read_text())
    network = yaml.safe_load((CONFIGS / "model" / "demo.yaml").read_text())
    tokenizers = str(demo / "tokenizers")
    module = Pretrain(
        tokenizers,
        config_from_dict(ModelConfig, network, "demo.yaml"),
        OptimConfig(lr=1e-3, schedule="constant"),
    )
    plan = PlanConfig(**data_config["plan"])
    rows = data_config["batch_rows"] // ranks
    data = OmniDataModule(tokenizers, str(demo / "shards" / "train"), None, plan, rows, cache=True)
    turns = TakeTurns()
    with TemporaryDirectory() as folder:
        trainer = lightning.Trainer(
            max_steps=2 * (WARM + pairs),
            accelerator="cpu",
            devices=ranks,
            strategy="ddp" if ranks > 1 else "auto",
            gradient_clip_val=1.0,
            logger=CSVLogger(folder),
            default_root_dir=folder,
            callbacks=[turns],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, data)
    return turns


def figures_of(turns: TakeTurns) -> dict[str, float]:
    """Medians over pairs: milliseconds of a plain step, ratio of both kinds, milliseconds in the hooks."""
    pairs = list(zip(turns.seconds[True], turns.seconds[False], strict=True))[WARM:]
    figures: dict[str, float] = {"pairs": len(pairs)}
    for number, name in enumerate(("cpu", "clock")):
        figures[f"step_{name}_ms"] = 1e3 * statistics.median(off[number] for _, off in pairs)
        figures[f"{name}_ratio"] = statistics.median(on[number] / off[number] for on, off in pairs)
    figures["hooks_ms"] = 1e3 * statistics.median(turns.inside[WARM:])
    figures["hooks_share"] = figures["hooks_ms"] / figures["step_cpu_ms"]
    return {name: round(value, 4) for name, value in figures.items()}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--demo", type=Path, default=Path("runs/demo"), help="folder with shards and tokenizers"
    )
    parser.add_argument("--pairs", type=int, default=40, help="pairs of steps")
    parser.add_argument("--ranks", type=int, default=1, help="processes that share the rows of a step (gloo)")
    parser.add_argument("--json", type=Path, help="where the figures go")
    args = parser.parse_args()
    if args.ranks > 1 and "RANK" not in os.environ:
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(args.ranks)]
        raise SystemExit(subprocess.call([sys.executable, *launch, "-m", "benchmarks.guards", *sys.argv[1:]]))
    torch.set_num_threads(1)
    figures = figures_of(measure(args.demo, args.pairs, args.ranks))
    if os.environ.get("RANK", "0") == "0":
        print(json.dumps(figures, indent=1))
        if args.json:
            args.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
