"""``omni shards stats``: what a folder of shards holds, and how long its documents are."""

from __future__ import annotations

import argparse
from pathlib import Path

from omni.cli.json_file import add_json_option, write_json
from omni.cli.shards.printing import print_bars, progress_over


def add_stats(actions: argparse._SubParsersAction) -> None:
    """Add ``stats``."""
    stats = actions.add_parser(
        "stats",
        help="count documents, bytes and positions by modality and source",
        description="Read off the indexes; positions and targets where `omni shards index --tokenizers` counted them.",
    )
    stats.add_argument("folder", type=Path, metavar="FOLDER", help="folder of *.tar and their indexes")
    add_json_option(stats)
    stats.set_defaults(run=run_stats)


def run_stats(args: argparse.Namespace) -> None:
    """Print the figures."""
    from omni.datamodules.shards.figures import shard_figures
    from omni.datamodules.shards.scan import shards_in

    with progress_over(f"Counting {args.folder}", len(shards_in(args.folder))) as report:
        found = shard_figures(args.folder, report)
    write_json(args.json, found.json())
    print(
        f"{args.folder}: {found.documents} documents of {found.parts} files in {found.shards} shards, "
        f"{found.tar_bytes} bytes ({found.content_bytes} of content)"
    )
    for source, count in found.by_source.items():
        print(f"  source {source}: {count}")
    lengths = found.lengths
    if lengths is None:
        print(f"  not measured; `omni shards index {args.folder} --tokenizers DIR` counts positions")
        return
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


def _counts(by_modality: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in by_modality.items())
