"""``omni shards stats``: what a folder of shards holds, and how long its documents are."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from omni.cli.shards.printing import add_figures_option, figures_to, print_bars, progress_over
from omni.cli.shards.workers import add_workers_options, workers_of

if TYPE_CHECKING:
    from omni.datamodules.shards.figures import Lengths


def add_stats(actions: argparse._SubParsersAction) -> None:
    """Add ``stats``."""
    stats = actions.add_parser(
        "stats",
        help="count documents, bytes and positions by modality and source",
        description="Read off the indexes; positions and targets where `omni shards index --tokenizers` counted them.",
    )
    stats.add_argument("folder", metavar="FOLDER", help="folder or URL of *.tar and their indexes")
    stats.add_argument(
        "--row-length", type=int, default=2048, metavar="S", help="positions of a row (default 2048)"
    )
    stats.add_argument(
        "--ranks", type=int, default=8, metavar="N", help="processes that train together (default 8)"
    )
    stats.add_argument(
        "--rows-of-rank", type=int, default=4, metavar="N", help="rows of each in a step (default 4)"
    )
    add_workers_options(stats)
    add_figures_option(stats)
    stats.set_defaults(run=run_stats)


def run_stats(args: argparse.Namespace) -> None:
    """Print the figures."""
    from omni.datamodules.shards.figures import shard_figures
    from omni.datamodules.shards.fill import FillConfig
    from omni.datamodules.shards.shard_folder import open_folder

    config = FillConfig(row_length=args.row_length, ranks=args.ranks, rows_of_rank=args.rows_of_rank)
    shards = open_folder(args.folder).shards
    workers = 1 if args.workers is None and args.ray is None else workers_of(args)
    with figures_to(args.json) as write:
        with progress_over(f"Counting {args.folder}", len(shards)) as report:
            found = shard_figures(args.folder, config, workers, report)
        write(found.json())
        print(
            f"{args.folder}: {found.documents} documents of {found.parts} files in {found.shards} shards, "
            f"{found.tar_bytes} bytes ({found.content_bytes} of content)"
        )
        for source, count in found.by_source.items():
            print(f"  source {source}: {count}")
        if found.lengths is None:
            print(f"  not measured; `omni shards index {args.folder} --tokenizers DIR` counts positions")
        else:
            _print_lengths(found.lengths)


def _print_lengths(lengths: Lengths) -> None:
    for kind, by_modality in (("positions", lengths.positions), ("targets", lengths.targets)):
        print(f"{kind}: " + _counts(by_modality))
        for source, counts in lengths.by_source.items():
            print(f"  {source}: " + _counts(counts[kind]))
    print_bars("documents by positions:", lengths.histogram)
    if lengths.unmeasured:
        print(f"  {lengths.unmeasured} that are damaged have none")
    print("longest:")
    for long in lengths.longest:
        print(f"  {long.positions} {long.shard}[{long.key}] ({long.source})")
    fill = lengths.fill
    if fill is None:
        print("no document fits into a row; raise --row-length")
        return
    print(f"packed into rows of {fill.row_length} positions:")
    print(f"  {fill.documents} documents in {fill.rows} rows, {fill.fill:.1%} full")
    print(f"  padding {fill.padding:.1%}; with one document a row it would be {fill.padding_alone:.1%}")
    if fill.too_long:
        print(f"  {fill.too_long} documents of {fill.too_long_positions} positions are longer than a row")
    print(f"  {fill.ranks} ranks are busy {fill.balance:.1%} of the time, over {fill.steps} steps")


def _counts(by_modality: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in by_modality.items())
