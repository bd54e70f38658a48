"""``omni shards index``: write the indexes of a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from omni.cli.shards.places import local_folder
from omni.cli.shards.printing import add_figures_option, figures_to, print_errors, progress_over
from omni.cli.shards.workers import add_workers_options, workers_of


def add_index(actions: argparse._SubParsersAction) -> None:
    """Add ``index``."""
    index = actions.add_parser(
        "index",
        help="write the indexes of a folder of shards anew",
        description="Reads every shard once, and writes FOLDER/X.tar.idx and FOLDER/dataset.json. With tokenizers "
        "the positions of every document are counted, which training needs; nothing is decoded for it.",
    )
    index.add_argument("folder", type=local_folder, metavar="FOLDER", help="folder of *.tar")
    index.add_argument(
        "--tokenizers",
        type=Path,
        metavar="DIR",
        help="measure the documents for a model with these tokenizers",
    )
    add_workers_options(index)
    add_figures_option(index)
    index.set_defaults(run=run_index)


def run_index(args: argparse.Namespace) -> None:
    """Index the shards of a folder; a ``ValueError`` where some can't be."""
    from omni.datamodules.shards.index_folder import index_folder
    from omni.datamodules.shards.scan import shards_in

    total = len(shards_in(args.folder))
    with figures_to(args.json) as write:
        with progress_over(f"Indexing {args.folder}", total) as report:
            found = index_folder(args.folder, args.tokenizers, workers_of(args, args.folder), report)
        print_errors([damage.error for damage in [*found.refused, *found.damaged]])
        write(found.figures())
        print(f"{args.folder}: {found.documents} documents in {found.shards} shards indexed")
        if found.damaged:
            print(f"  {len(found.damaged)} of them are damaged, and are left out of training")
        if found.summary is not None and found.summary["layout"] is not None:
            for kind in ("positions", "targets"):
                for name, count in found.summary[kind].items():
                    print(f"  {kind} {name}: {count}")
    if found.refused:
        raise ValueError(
            f"{args.folder}: {len(found.refused)} of {total} shards can't be indexed; "
            f"first: {found.refused[0].error}"
        )
