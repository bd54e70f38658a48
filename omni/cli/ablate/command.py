"""``omni ablate``: variants of a model trained on the same documents at matched budgets, and compared in pairs."""

from __future__ import annotations

import argparse
from pathlib import Path

from omni.cli.json_file import add_json_option


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``ablate``."""
    parser = subparsers.add_parser(
        "ablate",
        help="train variants on the same documents at matched budgets and compare them in pairs",
        description="Runs a study (configs/ablation/*.yaml): variants x seeds x sizes, each a subprocess of `omni "
        "fit` and one of `omni eval`; then writes OUT/study.html, study.json and CSV files. A killed study goes on "
        "with --resume; runs that failed are shown. docs/ablations.md says how to write one.",
    )
    parser.add_argument("study", type=Path, help="YAML file of the study")
    parser.add_argument("--out", type=Path, help="folder of all results (default runs/ablation/NAME)")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="print parameters, FLOPs, tokens and time of each run, train nothing",
    )
    parser.add_argument(
        "--data", action="store_true", help="make the data only, and print what they hold (data.census)"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on in OUT: runs that ended are kept, failed ones are tried again",
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time (default 1)")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a value of the study's file, such as --set budget.steps=100 (repeatable)",
    )
    parser.add_argument(
        "--tolerance",
        type=float,
        help="how far matched budgets may be apart, such as 0.05 (default: the study's)",
    )
    parser.add_argument(
        "--run", dest="only", metavar="NAME", help="do this run alone, without a report (see --commands)"
    )
    parser.add_argument(
        "--report", action="store_true", help="train nothing: measure and report what is in OUT"
    )
    parser.add_argument(
        "--commands",
        type=Path,
        metavar="FILE",
        help="write a command for each run to FILE, and train nothing",
    )
    parser.add_argument(
        "--submit",
        action="store_true",
        help="submit each run as a SLURM job (needs the extra `slurm`), and return at once",
    )
    parser.add_argument(
        "--slurm",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="setting of submitit's executor, such as --slurm slurm_partition=gpu --slurm timeout_min=60",
    )
    add_json_option(parser, "also write the planned runs, or the results, to this JSON file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Plan, and run what was asked for."""
    from omni.cli.ablate.study_run import run_study  # imports torch and Lightning

    if args.jobs < 1:
        raise ValueError(f"--jobs must be at least 1, got {args.jobs}")
    if args.tolerance is not None and args.tolerance < 0:
        raise ValueError(f"--tolerance must not be negative, got {args.tolerance}")
    run_study(args)
