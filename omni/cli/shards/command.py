"""``omni shards``: make shards of your own documents, index, check and look at them."""

from __future__ import annotations

import argparse
from pathlib import Path

from omni.cli.json_file import write_json
from omni.cli.shards.importing import add_import
from omni.cli.shards.printing import print_counts, print_errors


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``shards`` with its actions."""
    parser = subparsers.add_parser(
        "shards",
        help="make shards of your own documents; index, check and show shards",
        description="Shards are WebDataset tars of documents: KEY.json lists the segments (text, image, "
        "audio), the media files stand beside it. An index beside each tar says where every document lies.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add_import(actions)
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
    print_errors(errors)
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
    print_errors(errors)
    write_json(args.json, check.figures())
    print_counts(
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
