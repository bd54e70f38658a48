"""``omni shards check``: read everything and list what is damaged."""

from __future__ import annotations

import argparse

from omni.cli.shards.places import folder_or_url
from omni.cli.shards.printing import (
    add_figures_option,
    figures_to,
    print_counts,
    print_errors,
    progress_over,
)
from omni.cli.shards.workers import add_workers_options, workers_of


def add_check(actions: argparse._SubParsersAction) -> None:
    """Add ``check``."""
    check = actions.add_parser(
        "check",
        help="read every document and list the damaged ones",
        description="Compares every member with its checksum, the JSON with the files beside it, and the keys of all "
        "shards with each other. Ends with an error where something is damaged. Indexes are never written.",
    )
    check.add_argument(
        "folder", type=folder_or_url, metavar="FOLDER", help="folder or URL of *.tar and their indexes"
    )
    check.add_argument("--decode", action="store_true", help="also decode every picture, clip and code")
    add_workers_options(check)
    add_figures_option(
        check, "also write the counts, and shard, key and part of all that is damaged, to this file"
    )
    check.set_defaults(run=run_check)


def run_check(args: argparse.Namespace) -> None:
    """Read everything; a ``ValueError`` where something is damaged."""
    from omni.datamodules.shards.check import check_shards
    from omni.datamodules.shards.shard_folder import open_folder

    with figures_to(args.json) as write:
        with progress_over(f"Checking {args.folder}", len(open_folder(args.folder).shards)) as report:
            check = check_shards(args.folder, args.decode, workers_of(args, args.folder), report)
        errors = [damage.error for damage in check.damaged]
        print_errors(errors)
        write(check.figures())
        print_counts(
            f"{args.folder}: {check.documents} documents in {check.shards} shards, {len(errors)} damaged",
            {"source": check.by_source, "segment": check.by_modality},
        )
    if errors:
        raise ValueError(f"{args.folder}: {len(errors)} damaged; first: {errors[0]}")
