"""``omni shards import``: make shards of documents in other formats."""

from __future__ import annotations

import argparse
from pathlib import Path

from omni.cli.json_file import write_json
from omni.cli.shards.printing import print_counts, print_errors


def add_import(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser("import", help="make shards of documents in another format")
    formats = parser.add_subparsers(dest="format", required=True, metavar="FORMAT")
    jsonl = formats.add_parser(
        "jsonl",
        help="a JSONL file, one document a line, media files beside it",
        description="Each line is a document, for example (in one line): "
        '{"segments": [{"type": "image", "file": "cats/1.jpg", "role": "user", "loss": false}, '
        '{"type": "text", "text": "Asleep.", "role": "assistant"}]}. Types are text, image and audio; paths '
        "are relative to the file; role (system, user or assistant) and loss (whether the model learns to "
        "produce the segment; true) may be left out. So may, for the whole document, id, source (metrics are "
        "split by it) and label (what a judge should find in the last segment).",
    )
    jsonl.add_argument("source", type=Path, metavar="SRC.jsonl", help="the documents")
    jsonl.add_argument(
        "out", type=Path, metavar="OUT", help="folder of the shards; shards there are replaced"
    )
    jsonl.add_argument(
        "--per-shard", type=int, default=2_000, metavar="N", help="documents a shard (default 2000)"
    )
    jsonl.add_argument(
        "--max-damaged",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the lines (0 to 1) that may be set aside; with more nothing is written (default 0)",
    )
    jsonl.add_argument(
        "--json", type=Path, metavar="FILE", help="also write the counts and the bad lines here"
    )
    jsonl.set_defaults(run=run_import_jsonl)


def run_import_jsonl(args: argparse.Namespace) -> None:
    """Import a JSONL file."""
    from rich.console import Console
    from rich.progress import Progress

    from omni.datamodules.importers.jsonl import SET_ASIDE_FILE, read_jsonl
    from omni.datamodules.quarantine import Quarantine
    from omni.datamodules.shards.writer import write_shards

    aside = Quarantine(args.out, args.max_damaged, "--max-damaged", SET_ASIDE_FILE, warn=False)
    written: dict[str, int] = {}
    try:
        with Progress(transient=True, console=Console(stderr=True)) as progress:
            size = args.source.stat().st_size if args.source.is_file() else None
            task = progress.add_task(f"Importing {args.source.name}", total=size)
            documents = read_jsonl(args.source, aside, lambda length: progress.advance(task, length))
            written = write_shards(documents, args.out, args.per_shard)
    finally:
        print_errors([line["error"] for line in aside.lines])
        figures = {"documents": sum(written.values()), "by_source": written, "damaged": aside.lines}
        write_json(args.json, figures)
    print_counts(f"{args.out}: {figures['documents']} documents written", {"source": written})
