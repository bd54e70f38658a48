"""``omni shards index``: write the indexes of a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from omni.cli.json_file import add_json_option, write_json
from omni.cli.shards.printing import print_errors, progress_over


def add_index(actions: argparse._SubParsersAction) -> None:
    """Add ``index``."""
    index = actions.add_parser(
        "index",
        help="write the indexes of a folder of shards anew",
        description="Reads every shard once, and writes FOLDER/X.tar.idx and FOLDER/dataset.json. With tokenizers "
        "the positions of every document are counted, which training needs; nothing is decoded for it.",
    )
    index.add_argument("folder", type=Path, metavar="FOLDER", help="folder of *.tar")
    index.add_argument(
        "--tokenizers",
        type=Path,
        metavar="DIR",
        help="measure the documents for a model with these tokenizers",
    )
    add_workers_option(index)
    add_json_option(index)
    index.set_defaults(run=run_index)


def add_workers_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--workers N``."""
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes (default: one a core, or 1 for less than 64 MiB)"
    )


def run_index(args: argparse.Namespace) -> None:
    """Index the shards of a folder; a ``ValueError`` where some can't be."""
    from omni.datamodules.shards.index_folder import index_folder
    from omni.datamodules.shards.pool import workers_for
    from omni.datamodules.shards.scan import shards_in

    shards = shards_in(args.folder)
    workers = workers_for(shards) if args.workers is None else args.workers
    with progress_over(f"Indexing {args.folder}", len(shards)) as report:
        found = index_folder(args.folder, args.tokenizers, workers, report)
    print_errors([damage.error for damage in [*found.refused, *found.damaged]])
    write_json(args.json, found.figures())
    print(f"{args.folder}: {found.documents} documents in {found.shards} shards indexed")
    if found.damaged:
        print(f"  {len(found.damaged)} of them are damaged, and are left out of training")
    if found.summary is not None and found.summary["layout"] is not None:
        for kind in ("positions", "targets"):
            for name, count in found.summary[kind].items():
                print(f"  {kind} {name}: {count}")
    if found.refused:
        raise ValueError(
            f"{args.folder}: {len(found.refused)} of {len(shards)} shards can't be indexed; "
            f"first: {found.refused[0].error}"
        )
