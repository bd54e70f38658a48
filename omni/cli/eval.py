"""``omni eval``: a checkpoint's figures on the documents of held-out shards."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omni.cli.json_file import add_json_option, write_json

if TYPE_CHECKING:
    from omni.evaluation.grading import Judges
    from omni.evaluation.metrics.text import ScoredText
    from omni.evaluation.results import EvaluationResult
    from omni.inference.omni import Omni
    from omni.inference.options import SamplingOptions
    from omni.sequence import Document, Segment


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``eval``."""
    parser = subparsers.add_parser(
        "eval",
        help="judge a checkpoint on held-out shards",
        description="Has the checkpoint answer every held-out document and judges the answers. Text is compared "
        "with the reference; pictures and sound need judges, which `omni demo` saves beside its shards. "
        "Another seed of the demo holds other data out: judge a checkpoint on shards of its own seed.",
    )
    parser.add_argument("checkpoint", help="checkpoint of `omni fit` or `omni demo`")
    parser.add_argument("--data", required=True, help="folder of held-out shards")
    parser.add_argument(
        "--judges", help="folder of judges (default: `judges` beside the folder of --data's folder, if any)"
    )
    parser.add_argument("--limit", type=int, help="documents of each source at most")
    parser.add_argument("--seed", type=int, default=0, help="seed of sampling (default 0)")
    parser.add_argument("--device", default="cpu", help="device of the model (default cpu)")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Evaluate and print the figures.

    Raises:
        ValueError: a bad checkpoint, no shards, or a judges folder without judges.
    """
    from rich.console import Console
    from rich.table import Table

    from omni.datamodules.shards.reader import ShardReader
    from omni.evaluation.grading import Judges
    from omni.evaluation.judge_folder import load_judges
    from omni.inference.omni import Omni
    from omni.inference.options import SamplingOptions

    if args.limit is not None and args.limit < 1:
        raise ValueError(f"--limit must be at least 1, got {args.limit}")
    omni = Omni.from_checkpoint(args.checkpoint, args.device)
    reader = ShardReader(args.data, omni.tokenizers.audio.fingerprint)
    folder = Path(args.judges) if args.judges else Path(args.data).resolve().parent.parent / "judges"
    found = args.judges is not None or folder.is_dir()
    judges = load_judges(folder, omni.tokenizers.text) if found else Judges()
    documents = _limited([reader[number] for number in range(len(reader))], args.limit)
    result = evaluate_checkpoint(omni, documents, judges, SamplingOptions(seed=args.seed))
    table = Table("figure", "value", "95 % interval", "examples")
    for name, value in sorted(result.metrics.items()):
        interval = result.intervals.get(name)
        shown = f"{interval.low:.3f} to {interval.high:.3f}" if interval else ""
        table.add_row(name, f"{value:.3f}", shown, str(result.counts[name]))
    console = Console()
    console.print(table)
    if not found:
        console.print(f"No judges in {folder}: figures on pictures and sound are left out (--judges FOLDER).")
    write_json(
        args.json,
        {
            "checkpoint": str(args.checkpoint),
            "metrics": dict(result.metrics),
            "intervals": {name: list(interval) for name, interval in result.intervals.items()},
            "counts": dict(result.counts),
        },
    )


def _limited(documents: list[Document], limit: int | None) -> list[Document]:
    """The first ``limit`` documents of each source."""
    taken: dict[str, int] = {}
    kept = []
    for document in documents:
        taken[document.source] = taken.get(document.source, 0) + 1
        if limit is None or taken[document.source] <= limit:
            kept.append(document)
    return kept


def evaluate_checkpoint(
    omni: Omni, documents: Sequence[Document], judges: Judges, options: SamplingOptions
) -> EvaluationResult:
    """``evaluate`` with the model as generator and scorer, under a progress bar per source."""
    from dataclasses import replace

    from rich.progress import Progress

    from omni.datamodules.collate import collate
    from omni.evaluation.evaluate import evaluate
    from omni.evaluation.metrics.text import ScoredText
    from omni.inference.score import text_nats

    answered = 0

    def generate(prompts: list[Sequence[Segment]], want: str) -> list[list[Segment]]:
        nonlocal answered
        own = replace(options, seed=options.seed * 1_000_003 + answered)
        answered += len(prompts)
        return omni.generate_batch(prompts, want, own)  # type: ignore[arg-type]

    def score(texts: Sequence[Document]) -> ScoredText:
        return ScoredText(*text_nats(omni.model, collate([[omni.layout.encode(text) for text in texts]])))

    with Progress() as progress:
        tasks: dict[str, object] = {}

        def report(source: str, done: int, total: int) -> None:
            if source not in tasks:
                tasks[source] = progress.add_task(f"Evaluating {source}", total=total)
            progress.update(tasks[source], completed=done)  # type: ignore[arg-type]

        return evaluate(generate, documents, judges, score_text=score, progress=report)
