"""Runs the demo's stages one after another."""

from __future__ import annotations

import argparse
import json
import resource
import time
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from omni.cli.demo.corpus_stage import build_corpus, train_tokenizers, write_corpus
from omni.cli.demo.evaluation_stage import evaluate_demo, fit_demo_judges
from omni.cli.demo.report.page import write_report
from omni.cli.demo.report.targets import verdict
from omni.cli.demo.samples import write_samples
from omni.cli.demo.stages import STAGES
from omni.cli.json_file import write_json
from omni.cli.lightning_cli import OmniCLI
from omni.inference.omni import Omni

CONFIG = Path(__file__).parents[2] / "configs" / "experiment" / "demo.yaml"


def run_demo(args: argparse.Namespace) -> None:
    """Make data, tokenizers, model, evaluation and report in ``args.out``; see ``omni demo --help``.

    Raises:
        ValueError: the speech folder has no usable recordings, or a setting is out of range.
    """
    console, started = Console(), time.perf_counter()
    out = Path(args.out)
    until = STAGES.index(args.until)
    speech = Path(args.speech) if args.speech else None
    with _progress(console) as progress:
        corpus = build_corpus(args.seed, speech, args.scale, progress)
        write_corpus(corpus, out / "shards", progress)
        if until >= STAGES.index("tokenizers"):
            tokenizers = train_tokenizers(corpus, out / "tokenizers", args.seed, progress)
    if until >= STAGES.index("pretrain"):
        cli = OmniCLI.from_arguments(fit_arguments(out, args.seed, args.steps))
    if until < STAGES.index("evaluate"):
        console.print(f"Stopped after {args.until}: {out}")
        return
    with console.status("Fitting judges to real pictures and recordings (some 10 seconds)"):
        fit_demo_judges(corpus, tokenizers, out / "judges", args.seed)
    omni = Omni.from_checkpoint(out / "checkpoints" / "last.ckpt")
    results = evaluate_demo(args, cli, omni, corpus)
    metrics = dict(results.metrics)
    metrics["seconds"] = round(time.perf_counter() - started, 1)
    metrics["peak_memory_gib"] = round(peak_memory_gib(), 2)
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1))
    write_json(args.json, metrics)
    write_samples(out / "samples", results)
    if until >= STAGES.index("report"):
        with console.status("Writing the report"):
            report = write_report(out, replace(results, metrics=metrics))
        for row in verdict(metrics, results.speech_is_synthetic):
            console.print(f"{row}")
        console.print(f"[bold]Report: {report}[/bold]  (checkpoint: {out / 'checkpoints' / 'last.ckpt'})")


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
