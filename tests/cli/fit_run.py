"""Runs of ``omni fit`` in processes of their own, on one rank or on several, that say what they trained on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.tiny_model import tiny_config
from tests.tiny_run import GLOBAL_ROWS, ROW_LENGTH

ROOT = Path(__file__).parents[2]
STEPS, SAVED_EVERY, VALIDATED_EVERY = 7, 3, 2
TIMEOUT = 240


@dataclass(frozen=True)
class Done:
    """A run that has ended, by itself or not."""

    code: int
    stderr: str
    batches: list[list[dict[str, Any]]]
    """By rank: number of the batch, rows, keys and loss."""
    validations: dict[int, dict[str, float]]
    """Losses by step."""

    def rows_by_step(self) -> dict[int, list[int]]:
        """Rows of each step over all ranks, as one rank after another got them; batches are taken in turn."""
        steps: dict[int, list[int]] = {}
        for turn in zip(*self.batches, strict=True):
            for row in (row for batch in turn for row in batch["rows"]):
                steps.setdefault(row // GLOBAL_ROWS, []).append(row)
        return steps

    def loss_by_step(self) -> dict[int, float]:
        """What a step's loss is over all ranks and batches."""
        losses: dict[int, float] = {}
        for batch in (batch for rank in self.batches for batch in rank):
            step = batch["rows"][0] // GLOBAL_ROWS
            losses[step] = losses.get(step, 0.0) + batch["loss"]
        return losses


def config(
    corpus: Path, out: Path, record: Path, world: int, workers: int, kill_after: int | None, **plan: Any
) -> dict[str, Any]:
    """One row a batch, so the rows of a step are accumulated."""
    batches = GLOBAL_ROWS // world
    recorder = {"path": str(record), "kill_after": kill_after, "kill_rank": world - 1}
    return {
        "seed_everything": 0,
        "model": {"network": asdict(tiny_config()), "optim": {"lr": 3e-3, "warmup_steps": 2}},
        "data": {
            "tokenizers": str(corpus / "tokenizers"),
            "train": str(corpus / "train"),
            "val": str(corpus / "train"),
            "plan": {"row_length": ROW_LENGTH, "global_rows": GLOBAL_ROWS, "window": 64, **plan},
            "batch_rows": 1,
            "val_rows": 2,
            "workers": workers,
            "worker_kind": "process",
        },
        "trainer": {
            "default_root_dir": str(out),
            "max_steps": STEPS,
            "accelerator": "cpu",
            "devices": world,
            "strategy": "ddp" if world > 1 else "auto",
            "accumulate_grad_batches": batches,
            "val_check_interval": VALIDATED_EVERY * batches,
            "check_val_every_n_epoch": None,
            "num_sanity_val_steps": 0,
            "gradient_clip_val": 1.0,
            "logger": False,
            "enable_progress_bar": False,
            "callbacks": [{"class_path": "tests.cli.recorder.Recorder", "init_args": recorder}],
        },
        # one that is killed is killed behind a checkpoint that is there
        "checkpoint": {"every_n_train_steps": SAVED_EVERY, "asynchronous": kill_after is None},
    }


def omni_fit(
    corpus: Path,
    out: Path,
    name: str,
    *arguments: str,
    world: int = 1,
    workers: int = 0,
    kill_after: int | None = None,
    **plan: Any,
) -> Done:
    """Run ``omni fit`` with a config and ``arguments``; results are named ``name`` in ``out``."""
    out.mkdir(exist_ok=True)
    path, record = out / f"{name}.yaml", out / f"{name}"
    path.write_text(yaml.safe_dump(config(corpus, out, record, world, workers, kill_after, **plan)))
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)]
    command = [sys.executable, *(launcher if world > 1 else []), "-m", "omni", "fit", "--config", str(path)]
    done = subprocess.run(
        [*command, *arguments],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    return done_in(out, name, world, done.returncode, done.stderr)


def done_in(out: Path, name: str, world: int, code: int = 0, stderr: str = "") -> Done:
    """What the ranks of a run named ``name`` in ``out`` wrote."""
    lines = [read_lines(out / f"{name}-{rank}.jsonl") for rank in range(world)]
    batches = [[line for line in rank if "batch" in line] for rank in lines]
    validations = {line["validated"]: line["losses"] for line in lines[0] if "validated" in line}
    return Done(code, stderr, batches, validations)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """What a rank wrote; nothing if it never began."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
