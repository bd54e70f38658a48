"""Runs the demo's stages one after another."""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from omni.cli.demo.corpus_stage import build_corpus, index_corpus, train_tokenizers, write_corpus
from omni.cli.demo.evaluation_stage import evaluate_demo, fit_demo_judges
from omni.cli.demo.report.page import REPORT_FILE, write_report
from omni.cli.demo.report.results import DemoResults
from omni.cli.demo.report.targets import verdict
from omni.cli.demo.samples import write_samples
from omni.cli.demo.stages import STAGES
from omni.cli.json_file import write_json
from omni.cli.lightning_cli import OmniCLI
from omni.inference.omni import Omni

METRICS_FILE, RUN_FILE = "metrics.json", "run.json"
SHOWN_SKIPPED = 5
"""Recordings that can't be used whose reason is printed."""
CONFIG = Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml"


def run_demo(args: argparse.Namespace) -> None:
    """Make data, tokenizers, model, evaluation and report in ``args.out``; see ``omni demo --help``.

    Raises:
        ValueError: the speech folder has no usable recordings, or a setting is out of range.
    """
    if args.seed < 0:
        raise ValueError(f"--seed must be 0 or more, got {args.seed}")
    if args.steps is not None and args.steps < 1:
        raise ValueError(f"--steps must be at least 1, got {args.steps}")
    console, started = Console(), time.perf_counter()
    out = Path(args.out)
    _clear(out)
    until = STAGES.index(args.until)
    speech = Path(args.speech) if args.speech else None
    with _progress(console) as progress:
        corpus = build_corpus(args.seed, speech, args.scale, progress)
        for why in list(corpus.speech.skipped.values())[:SHOWN_SKIPPED]:
            progress.console.print(f"not used: {why}", markup=False)
        if corpus.speech.skipped:
            progress.console.print(f"{len(corpus.speech.skipped)} recordings can't be used")
        write_corpus(corpus, out / "shards", progress)
        if until >= STAGES.index("tokenizers"):
            train_tokenizers(corpus, out / "tokenizers", args.seed, progress)
            index_corpus(out / "shards", out / "tokenizers", progress)
    if until >= STAGES.index("pretrain"):
        cli = OmniCLI.from_arguments(fit_arguments(out, args.seed, args.steps))
    if until < STAGES.index("evaluate"):
        console.print(f"Stopped after {args.until}: {out}")
        return
    with console.status("Fitting judges to real pictures and recordings (some 10 seconds)"):
        fit_demo_judges(corpus, out / "judges", args.seed)
    omni = Omni.from_checkpoint(out / "checkpoints" / "last.ckpt")
    results = evaluate_demo(args, cli, omni, corpus)
    metrics = dict(results.metrics)
    metrics["seconds"] = round(time.perf_counter() - started, 1)
    metrics["peak_memory_gib"] = round(peak_memory_gib(), 2)
    (out / METRICS_FILE).write_text(json.dumps(metrics, indent=1))
    (out / RUN_FILE).write_text(json.dumps(description(args, results), indent=1))
    write_json(args.json, metrics)
    write_samples(out / "samples", results)
    if until >= STAGES.index("report"):
        with console.status("Writing the report"):
            report = write_report(out, replace(results, metrics=metrics))
        for row in verdict(metrics, results.speech_is_synthetic):
            console.print(f"{row}")
        console.print(f"[bold]Report: {report}[/bold]  (checkpoint: {out / 'checkpoints' / 'last.ckpt'})")


def _clear(out: Path) -> None:
    """Make the folder, and remove what would be taken for this run's: an earlier run's checkpoint and figures."""
    out.mkdir(parents=True, exist_ok=True)
    for name in ("checkpoints/last.ckpt", METRICS_FILE, RUN_FILE, REPORT_FILE):
        (out / name).unlink(missing_ok=True)


def description(args: argparse.Namespace, results: DemoResults) -> dict[str, Any]:
    """What run the figures are of."""
    return {
        "seed": args.seed,
        "reduced": results.reduced,
        "speech": results.speech_origin,
        "losses": str(results.loss_csv.relative_to(args.out)),
        **results.settings,
    }


def fit_arguments(out: Path, seed: int, steps: int | None) -> list[str]:
    """Arguments of ``omni fit`` for the demo in ``out``."""
    arguments = ["fit", "--config", str(CONFIG), "--seed_everything", str(seed)]
    arguments += ["--data.tokenizers", str(out / "tokenizers"), "--data.train", str(out / "shards" / "train")]
    arguments += ["--data.val", str(out / "shards" / "heldout"), "--trainer.default_root_dir", str(out)]
    if steps is not None:
        every = max(1, min(500, steps))
        arguments += ["--trainer.max_steps", str(steps), "--trainer.val_check_interval", str(every)]
    return arguments


def peak_memory_gib() -> float:
    """Largest resident size of this process, plus that of its largest child so far."""
    used = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return used / 2**20  # Linux counts kibibytes


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )
