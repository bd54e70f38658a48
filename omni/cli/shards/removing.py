"""``omni shards quarantine``: shards without the documents that are listed as damaged."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from omni.cli.shards.places import local_folder
from omni.cli.shards.printing import add_figures_option, figures_to, progress_over, progress_to
from omni.cli.shards.workers import add_workers_options, workers_of

if TYPE_CHECKING:
    from omni.datamodules.shards.removal import Removal


def add_quarantine(actions: argparse._SubParsersAction) -> None:
    """Add ``quarantine``."""
    parser = actions.add_parser(
        "quarantine",
        help="take documents that are listed as damaged out of their shards",
        description="Says what would be taken out; with --apply, writes the shards without it, to another folder or "
        "in place. The list is FOLDER/quarantine.jsonl, which training writes, or what --list names.",
    )
    parser.add_argument(
        "folder", type=local_folder, metavar="FOLDER", help="folder of *.tar and their indexes"
    )
    parser.add_argument(
        "--list",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="a quarantine.jsonl, or what `omni shards check --json FILE` wrote; may be given several times",
    )
    parser.add_argument("--apply", action="store_true", help="write the shards")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--out", type=local_folder, metavar="OUT", help="folder of the new shards (FOLDER-clean)"
    )
    where.add_argument(
        "--in-place", action="store_true", help="replace the shards concerned; the originals are gone then"
    )
    parser.add_argument(
        "--tokenizers", type=Path, metavar="DIR", help="measure the new shards for these tokenizers"
    )
    add_workers_options(parser)
    add_figures_option(parser)
    parser.set_defaults(run=run_quarantine)


def run_quarantine(args: argparse.Namespace) -> None:
    """Print what is listed, and take it out where that was asked for."""
    from omni.datamodules.shards.removal import lists_of, plan_removal

    with figures_to(args.json) as write:
        removal = plan_removal(args.folder, lists_of(args.folder, args.list))
        for name, keys in removal.removed.items():
            print(f"  {name}: " + (", ".join(sorted(keys)) if keys else "cut off; every document is whole"))
        if removal.absent:
            print(f"  {len(removal.absent)} listed documents are not there (any more)")
        counted = f"{removal.documents} of {removal.documents + removal.kept} documents"
        where: Path | None = None
        if not args.apply:
            print(f"{args.folder}: {counted} would be left out; --apply does it")
        elif not removal.removed:
            print(f"{args.folder}: nothing to leave out")
        else:
            where = _apply(args, removal)
            print(f"{where}: {counted} left out, {removal.kept} kept")
            if args.tokenizers is None:
                print(f"  not measured; `omni shards index {where} --tokenizers DIR` counts positions")
        write(removal.figures() | {"applied": where is not None, "out": where and str(where)})


def _apply(args: argparse.Namespace, removal: Removal) -> Path:
    from omni.datamodules.shards.removal import remove_in_place, remove_to

    workers = workers_of(args, args.folder)
    if args.in_place:
        with progress_over(f"Rewriting {args.folder}", len(removal.removed)) as report:
            remove_in_place(removal, workers, args.tokenizers, report)
        return Path(args.folder)
    out = args.out or args.folder.with_name(args.folder.name + "-clean")
    with progress_to(f"Writing {out}", len(removal.indexes)) as done:
        remove_to(removal, out, workers, args.tokenizers, done)
    return Path(out)
