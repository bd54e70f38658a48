"""``omni eval``: a checkpoint's figures on the documents of held-out shards, and on exams."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omni.cli.json_file import add_json_option, write_json

if TYPE_CHECKING:
    from omni.baselines.systems import System
    from omni.choice import Choice
    from omni.cli.eval_figures import EvaluationFigures
    from omni.evaluation.choices import Chosen
    from omni.evaluation.grading import Judges
    from omni.evaluation.metrics.text import ScoredText
    from omni.evaluation.results import EvaluationResult
    from omni.evaluation.scorer import DocumentScorer
    from omni.inference.omni import Omni
    from omni.inference.options import SamplingOptions
    from omni.sequence import Document, Segment


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``eval``."""
    parser = subparsers.add_parser(
        "eval",
        help="measure a checkpoint on held-out shards and exams",
        description="Has the checkpoint answer every held-out document, compares and judges the answers, and measures "
        "the loss in every modality. Pictures and sound need judges, which `omni demo` saves beside its shards. "
        "Another seed of the demo holds other data out: judge a checkpoint on shards of its own seed. --choices asks "
        "questions with options, of which the likeliest is the answer.",
    )
    parser.add_argument(
        "checkpoint", help="checkpoint of `omni fit` or `omni demo`, or folder of `omni export`"
    )
    parser.add_argument("--data", help="folder of held-out shards")
    parser.add_argument(
        "--choices", action="append", default=[], metavar="FILE", help="JSONL file of questions (repeatable)"
    )
    parser.add_argument(
        "--judges", help="folder of judges (default: `judges` beside the folder of --data's folder, if any)"
    )
    parser.add_argument(
        "--lm-eval", default="", metavar="TASKS", help="tasks of lm-eval, separated by commas (extra `eval`)"
    )
    parser.add_argument(
        "--lmms-eval", default="", metavar="TASKS", help="tasks of lmms-eval (extra `eval-multimodal`)"
    )
    parser.add_argument(
        "--task-files",
        type=Path,
        metavar="FOLDER",
        help="folder of task files of the two, instead of their own",
    )
    parser.add_argument(
        "--limit", type=int, help="documents of each source or task, and questions of each file, at most"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of sampling and of bootstraps (default 0)")
    parser.add_argument(
        "--continue",
        dest="chat",
        action="store_false",
        help="options and answers continue the text (a model without roles) instead of answering it",
    )
    parser.add_argument("--device", default="cpu", help="device of the model (default cpu)")
    parser.add_argument(
        "--examples",
        type=Path,
        metavar="FILE",
        help="also write what each held-out example of --data adds to each figure, as CSV",
    )
    parser.add_argument(
        "--weights", default="fp32", help="fp32, bf16 or int8: what weights are kept in (default fp32)"
    )
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Evaluate and print the figures.

    Raises:
        ValueError: nothing to evaluate on, a bad checkpoint, no shards, a judges folder without judges, or a bad
            question.
    """
    from omni.baselines.systems import open_system
    from omni.cli.eval_examples import write_examples
    from omni.cli.eval_figures import EvaluationFigures
    from omni.datamodules.importers.choices import read_choices
    from omni.inference.omni import Omni

    if args.limit is not None and args.limit < 1:
        raise ValueError(f"--limit must be at least 1, got {args.limit}")
    if args.data is None and not (args.choices or args.lm_eval or args.lmms_eval):
        raise ValueError(
            "nothing to evaluate on: give --data FOLDER, --choices FILE, --lm-eval TASKS or --lmms-eval TASKS"
        )
    exams = [choice for file in args.choices for choice in read_choices(file)[: args.limit]]
    omni = open_system(args.checkpoint, args.device, args.weights)
    figures = EvaluationFigures(args.seed)
    harnesses = bool(args.lm_eval or args.lmms_eval)
    if not isinstance(omni, Omni) and (exams or harnesses):
        raise ValueError(f"{args.checkpoint}: a cascade has no likelihood of an option: give --data alone")
    if args.data is not None:
        _on_shards(args, omni, figures)
    if exams:
        figures.add_chosen(chosen_by(scorer_of(omni), exams, args.chat))
    if isinstance(omni, Omni) and harnesses:
        _on_harnesses(args, omni, figures)
    figures.show()
    write_json(args.json, {"checkpoint": str(args.checkpoint), **figures.as_json()})
    if args.examples is not None:
        write_examples(args.examples, figures.examples)


def _on_shards(args: argparse.Namespace, omni: System, figures: EvaluationFigures) -> None:
    from omni.cli.eval_examples import mark_rows, tally_rows
    from omni.datamodules.shards.reader import ShardReader
    from omni.evaluation.comparison import Answer, answer_tallies
    from omni.evaluation.grading import Judges
    from omni.evaluation.judge_folder import load_judges
    from omni.evaluation.losses import loss_tallies
    from omni.inference.omni import Omni
    from omni.inference.options import SamplingOptions
    from omni.sequence import Text

    reader = ShardReader(args.data, omni.tokenizers.audio.fingerprint)
    folder = Path(args.judges) if args.judges else Path(args.data).resolve().parent.parent / "judges"
    found = args.judges is not None or folder.is_dir()
    judges = load_judges(folder, omni.tokenizers.text) if found else Judges()
    documents = _limited([reader[number] for number in range(len(reader))], args.limit)
    result = evaluate_checkpoint(omni, documents, judges, SamplingOptions(seed=args.seed))
    answers = [Answer(n, e.source, e.reference, e.answer) for n, e in enumerate(result.examples)]
    scored = dict(enumerate(documents))
    if not isinstance(omni, Omni):
        scored = {n: d for n, d in scored.items() if all(isinstance(s, Text) for s in d.segments)}
        figures.notes.append("A cascade: losses are those of its language model on documents of text alone.")
    losses, compared = loss_tallies(scorer_of(omni), scored), answer_tallies(answers)
    figures.add_tallies([*losses, *compared])
    figures.add_result(result)
    figures.examples = [
        *tally_rows(losses, [document.key for document in documents]),
        *tally_rows(compared, [example.key for example in result.examples]),
        *mark_rows(result.examples),
    ]
    if not found:
        figures.notes.append(
            f"No judges in {folder}: figures on pictures and sound are left out (--judges FOLDER)."
        )


def _on_harnesses(args: argparse.Namespace, omni: Omni, figures: EvaluationFigures) -> None:
    from omni.cli.eval_harness import run_multimodal_tasks, run_text_tasks

    scorer = scorer_of(omni)
    if args.lm_eval:
        tasks = args.lm_eval.split(",")
        figures.add_harness(run_text_tasks(omni, scorer, tasks, args.task_files, args.limit, args.chat))
    if args.lmms_eval:
        tasks = args.lmms_eval.split(",")
        figures.add_harness(run_multimodal_tasks(omni, scorer, tasks, args.task_files, args.limit))


def _limited(documents: list[Document], limit: int | None) -> list[Document]:
    """The first ``limit`` documents of each source."""
    taken: dict[str, int] = {}
    kept = []
    for document in documents:
        taken[document.source] = taken.get(document.source, 0) + 1
        if limit is None or taken[document.source] <= limit:
            kept.append(document)
    return kept


def scorer_of(omni: System) -> DocumentScorer:
    """What scores documents by the model of ``omni``."""
    from omni.datamodules.collate import collate
    from omni.evaluation.scorer import DocumentScorer

    return DocumentScorer(omni.model, omni.layout, collate)


def chosen_by(scorer: DocumentScorer, choices: Sequence[Choice], chat: bool) -> list[Chosen]:
    """The model's choices, under a progress bar."""
    from rich.progress import track

    from omni.evaluation.choices import choose_options

    starts = range(0, len(choices), BATCH)
    parts = [list(choices[start : start + BATCH]) for start in starts]
    return [one for part in track(parts, "Choosing") for one in choose_options(scorer, part, chat)]


BATCH = 64
"""Questions that are scored between two steps of the progress bar."""


def evaluate_checkpoint(
    omni: System, documents: Sequence[Document], judges: Judges, options: SamplingOptions
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
