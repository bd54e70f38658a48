"""``omni shards``: make shards of your own documents, index, check and look at them."""

from __future__ import annotations

import argparse

from omni.cli.shards.checking import add_check
from omni.cli.shards.curating import add_curate
from omni.cli.shards.importing import add_import
from omni.cli.shards.indexing import add_index
from omni.cli.shards.removing import add_quarantine
from omni.cli.shards.rewriting import add_merge, add_shuffle, add_tokenize
from omni.cli.shards.showing import add_show
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
    add_tokenize(actions)
    add_merge(actions)
    add_shuffle(actions)
    add_index(actions)
    add_check(actions)
    add_quarantine(actions)
    add_stats(actions)
    add_show(actions)
