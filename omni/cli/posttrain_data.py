"""``omni posttrain-data``: demonstrations and preferences from labelled shards, such as the demo's."""

from __future__ import annotations

import argparse
from pathlib import Path

from omni.cli.json_file import add_json_option, write_json

PARTS = ("train", "heldout")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``posttrain-data``."""
    parser = subparsers.add_parser(
        "posttrain-data",
        help="make demonstrations and preferences from labelled shards, such as those of omni demo",
        description="Reads FOLDER/shards/train and FOLDER/shards/heldout and writes demonstrations and pairs (a right "
        "and a wrong answer to each question) of both to OUT, measured with the tokenizers. What the configs "
        "demo_sft, demo_reward and demo_dpo read.",
    )
    parser.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path("runs/demo"),
        metavar="FOLDER",
        help="folder of a run of omni demo, with shards and tokenizers (default runs/demo)",
    )
    parser.add_argument("--out", type=Path, metavar="OUT", help="where to write (default FOLDER/posttrain)")
    parser.add_argument(
        "--wrong",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share (0 to 1) of the training demonstrations that get the answer to another question (default 0)",
    )
    parser.add_argument(
        "--per-source",
        type=int,
        default=1000,
        metavar="N",
        help="documents used of each source at most (default 1000)",
    )
    parser.add_argument("--seed", type=int, default=0, help="draws the wrong answers (default 0)")
    add_json_option(parser)
    parser.set_defaults(run=run_posttrain_data)


def run_posttrain_data(args: argparse.Namespace) -> None:
    """Make the data.

    Raises:
        ValueError: a setting out of range, or shards without labelled answers.
    """
    from rich.console import Console

    from omni.datamodules.post_training import AnsweredShards
    from omni.datamodules.shards.index_folder import index_folder
    from omni.datamodules.shards.reader import ShardReader
    from omni.datamodules.shards.writer import write_shards

    if not 0 <= args.wrong <= 1:
        raise ValueError(f"--wrong is a share, expected 0 to 1, got {args.wrong:g}")
    if args.per_source < 2:
        raise ValueError(f"--per-source must be at least 2, got {args.per_source}")
    if args.seed < 0:
        raise ValueError(f"--seed must be 0 or more, got {args.seed}")
    console, out = Console(), args.out or args.folder / "posttrain"
    tokenizers = args.folder / "tokenizers"
    figures: dict[str, dict[str, int]] = {}
    for part in PARTS:
        with console.status(f"Making {part} data"):
            answered = AnsweredShards(ShardReader(args.folder / "shards" / part), args.per_source)
            wrong = args.wrong if part == "train" else 0.0
            made = {
                "demonstrations": answered.demonstrations(wrong, args.seed),
                "pairs": answered.preferences(args.seed),
            }
            for name, documents in made.items():
                write_shards(documents, out / name / part)
                index_folder(out / name / part, tokenizers)
        figures[part] = {"demonstrations": len(answered), "without_answer": answered.left_out}
        console.print(
            f"{part}: {len(answered)} demonstrations and as many pairs of {len(answered.by_source)} sources; "
            f"{answered.left_out} documents have no labelled answer",
            highlight=False,
        )
    console.print(f"[bold]{out}[/bold]")
    write_json(args.json, figures)
