"""``omni votes``: what people thought of answers, as data for post-training."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

from omni.cli.json_file import add_json_option, write_json
from omni.serve.vote_store import ExportCounts, VoteStore, export_line


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``votes``."""
    parser = subparsers.add_parser("votes", help="preferences from the votes of `omni serve`")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    export = actions.add_parser(
        "export",
        help="write preferences as JSONL",
        description="Writes a line for each preferred answer and each that it was preferred to, as "
        "`omni shards import chat` reads it. Ties and votes that all answers are bad prefer nothing.",
    )
    export.add_argument("votes", type=Path, metavar="FILE.sqlite", help="the file of `omni serve --votes`")
    export.add_argument("out", type=Path, metavar="OUT.jsonl", help="file to write")
    add_json_option(export)
    export.set_defaults(run=run_export)


def run_export(args: argparse.Namespace) -> None:
    """Write the preferences, and say what was left out.

    Raises:
        ValueError: no file of votes, or it prefers nothing.
    """
    counts = ExportCounts()
    lines = [export_line(line) for line in VoteStore(args.votes).pairs(counts)]
    if not lines:
        raise ValueError(f"{args.votes}: none of its {counts.votes} votes prefers an answer to another one")
    args.out.write_text("".join(lines), encoding="utf-8")
    print(
        f"{args.out}: {counts.pairs} pairs of {counts.votes} votes; left out: {counts.without_winner} votes "
        f"without a best answer, {counts.same} pairs of the same answer, {counts.empty} with an empty one"
    )
    write_json(args.json, asdict(counts))
