"""``omni shards``: make shards of your own documents, index, check and look at them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from omni.cli.json_file import write_json

SHOWN_ERRORS = 10
"""Damaged documents that are printed; ``--json`` has them all."""


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``shards`` with its actions."""
    parser = subparsers.add_parser(
        "shards",
        help="make shards of your own documents; index, check and show shards",
        description="Shards are WebDataset tars of documents: KEY.json lists the segments (text, image, "
        "audio), the media files stand beside it. An index beside each tar says where every document lies.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_import(actions)
    index = actions.add_parser("index", help="write the indexes of a folder of shards anew")
    index.add_argument("folder", type=Path, metavar="FOLDER", help="folder of *.tar")
    index.set_defaults(run=run_index)
    check = actions.add_parser("check", help="read every document and list the damaged ones")
    check.add_argument("folder", type=Path, metavar="FOLDER", help="folder of *.tar and their indexes")
    check.add_argument("--json", type=Path, metavar="FILE", help="also write counts and damage here")
    check.set_defaults(run=run_check)
    show = actions.add_parser("show", help="print the first documents")
    show.add_argument("folder", type=Path, metavar="FOLDER", help="folder of *.tar and their indexes")
    show.add_argument(
        "count", type=int, nargs="?", default=3, metavar="N", help="how many documents (default 3)"
    )
    show.set_defaults(run=run_show)


def _add_import(actions: argparse._SubParsersAction) -> None:
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
        _print_errors([line["error"] for line in aside.lines])
        figures = {"documents": sum(written.values()), "by_source": written, "damaged": aside.lines}
        write_json(args.json, figures)
    _print_counts(f"{args.out}: {figures['documents']} documents written", {"source": written})


def run_index(args: argparse.Namespace) -> None:
    """Index the shards of a folder; damaged ones are named at the end."""
    from rich.console import Console
    from rich.progress import track

    from omni.datamodules.shards.format import DocumentError
    from omni.datamodules.shards.index import shards_in, write_index

    documents, errors = 0, []
    shards = shards_in(args.folder)
    title = f"Indexing {args.folder}"
    for shard in track(shards, title, transient=True, console=Console(stderr=True)):
        try:
            documents += len(write_index(shard).entries)
        except DocumentError as error:
            errors.append(str(error))
    _print_errors(errors)
    print(f"{args.folder}: {documents} documents in {len(shards) - len(errors)} shards indexed")
    if errors:
        raise ValueError(
            f"{args.folder}: {len(errors)} of {len(shards)} shards can't be indexed; first: {errors[0]}"
        )


def run_check(args: argparse.Namespace) -> None:
    """Read everything; a ``ValueError`` where something is damaged."""
    from rich.console import Console
    from rich.progress import track

    from omni.datamodules.shards.check import check_shards

    title = f"Checking {args.folder}"
    check = check_shards(
        args.folder, lambda places: track(places, title, transient=True, console=Console(stderr=True))
    )
    errors = [damage.error for damage in check.damaged]
    _print_errors(errors)
    write_json(args.json, check.figures())
    _print_counts(
        f"{args.folder}: {check.documents} documents in {check.shards} shards, {len(errors)} damaged",
        {"source": check.by_source, "segment": check.by_modality},
    )
    if errors:
        raise ValueError(f"{args.folder}: {len(errors)} damaged; first: {errors[0]}")


def run_show(args: argparse.Namespace) -> None:
    """Print documents, one segment a line."""
    from omni.datamodules.shards.reader import ShardReader
    from omni.datamodules.shards.show import document_lines

    reader = ShardReader(args.folder)
    for number in range(min(args.count, len(reader))):
        print("\n".join(document_lines(reader[number])), end="\n\n")
    print(f"{min(args.count, len(reader))} of {len(reader)} documents")


def _print_errors(errors: list[str]) -> None:
    for error in errors[:SHOWN_ERRORS]:
        print(f"damaged: {error}")
    if len(errors) > SHOWN_ERRORS:
        print(f"damaged: {len(errors) - SHOWN_ERRORS} more")


def _print_counts(head: str, counts: dict[str, Any]) -> None:
    print(head)
    for kind, by_name in counts.items():
        for name, count in sorted(by_name.items()):
            print(f"  {kind} {name}: {count}")
