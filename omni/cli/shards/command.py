"""``omni shards``: make shards of your own documents, index, check and look at them."""

from __future__ import annotations

import argparse
from pathlib import Path

from omni.cli.shards.checking import add_check
from omni.cli.shards.curating import add_curate
from omni.cli.shards.importing import add_import
from omni.cli.shards.indexing import add_index
from omni.cli.shards.stats import add_stats


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``shards`` with its actions."""
    parser = subparsers.add_parser(
        "shards",
        help="make shards of your own documents; index, check, count and show shards",
        description="Shards are WebDataset tars of documents: KEY.json lists the segments (text, image, "
        "audio), the media files stand beside it. An index beside each tar says where every document lies.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add_import(actions)
    add_curate(actions)
    add_index(actions)
    add_check(actions)
    add_stats(actions)
    show = actions.add_parser("show", help="print the first documents")
    show.add_argument("folder", type=Path, metavar="FOLDER", help="folder of *.tar and their indexes")
    show.add_argument(
        "count", type=int, nargs="?", default=3, metavar="N", help="how many documents (default 3)"
    )
    show.set_defaults(run=run_show)


def run_show(args: argparse.Namespace) -> None:
    """Print documents, one segment a line."""
    from omni.datamodules.shards.reader import ShardReader
    from omni.datamodules.shards.show import document_lines

    reader = ShardReader(args.folder)
    for number in range(min(args.count, len(reader))):
        print("\n".join(document_lines(reader[number])), end="\n\n")
    print(f"{min(args.count, len(reader))} of {len(reader)} documents")
