"""``omni demo``: data, tokenizers, pretraining, evaluation and a report, in one command."""

from __future__ import annotations

import argparse

from omni.cli.demo.stages import STAGES
from omni.cli.json_file import add_json_option


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``demo``."""
    parser = subparsers.add_parser(
        "demo",
        help="make a small omnimodal model from nothing: data, tokenizers, training, evaluation, report",
        description="Makes a corpus of handwritten digits, spoken digits, charts, prose and code; trains tokenizers "
        "and one model that reads and writes all of it; judges it on held-out data; writes OUT/report.html.",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of data, weights and noise (default 0)")
    parser.add_argument("--out", default="runs/demo", help="folder of all results (default runs/demo)")
    parser.add_argument(
        "--speech",
        metavar="DIR",
        help="real recordings named {digit}_{speaker}_{index}.wav (Free Spoken Digit Dataset) instead of eSpeak",
    )
    parser.add_argument(
        "--steps", type=int, help="optimizer steps (default: as in configs/experiment/demo.yaml)"
    )
    parser.add_argument(
        "--scale", type=float, default=1.0, help="share of the corpus to make, for a quick try (default 1)"
    )
    parser.add_argument("--until", choices=STAGES, default=STAGES[-1], help="stop after this stage")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Run the stages in order."""
    from omni.cli.demo.run import run_demo  # imports torch, Lightning and scikit-learn

    run_demo(args)
