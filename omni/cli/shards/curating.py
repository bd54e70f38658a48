"""``omni shards curate``: leave out documents by what their text is like."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from omni.cli.shards.places import SHARDS, folder_or_url, local_folder
from omni.cli.shards.printing import add_figures_option, figures_to, print_counts, print_errors

DROPPED_FILE = "not_kept.jsonl"


def add_curate(actions: argparse._SubParsersAction) -> None:
    """Add ``curate``."""
    parser = actions.add_parser(
        "curate",
        help="leave out documents by language, quality and duplicated text",
        description="Reads shards and writes those documents whose text passes. Needs the extra `curate`. What "
        f"was left out is listed in OUT/{DROPPED_FILE}, with the reason.",
    )
    parser.add_argument("source", type=folder_or_url, metavar="SRC", help=SHARDS)
    parser.add_argument("out", type=local_folder, metavar="OUT", help="folder of the new shards")
    parser.add_argument(
        "--language", nargs="+", default=[], metavar="CODE", help="languages that stay, such as en de"
    )
    parser.add_argument(
        "--language-threshold",
        type=float,
        default=0.65,
        metavar="P",
        help="least probability of one of the languages (default 0.65)",
    )
    parser.add_argument(
        "--language-model",
        type=Path,
        metavar="FILE",
        help="fastText model file (default: lid.176.bin, which is downloaded once, 126 MB)",
    )
    parser.add_argument(
        "--quality", action="store_true", help="Gopher's rules of quality and repetition, for English text"
    )
    parser.add_argument("--exact", action="store_true", help="keep one of documents with the same text")
    parser.add_argument("--near", action="store_true", help="keep one of documents with nearly the same text")
    parser.add_argument(
        "--per-shard", type=int, default=2_000, metavar="N", help="documents a shard (default 2000)"
    )
    parser.add_argument(
        "--max-damaged",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the documents (0 to 1) that may be damaged; they are left out (default 0)",
    )
    add_figures_option(parser)
    parser.set_defaults(run=run_curate)


def run_curate(args: argparse.Namespace) -> None:
    """Write the documents that stay, and a list of those that don't."""
    with figures_to(args.json) as write:
        write(_curated(args))


def _curated(args: argparse.Namespace) -> dict[str, Any]:
    from rich.console import Console
    from rich.progress import track

    from omni.datamodules.curation import curate
    from omni.datamodules.importers.rows import SET_ASIDE_FILE
    from omni.datamodules.quarantine import Quarantine
    from omni.datamodules.shards.copying import refuse_same
    from omni.datamodules.shards.reader import ShardReader
    from omni.datamodules.shards.writer import Members, write_shards

    refuse_same([args.source], args.out)
    config = _config(args)
    reader = ShardReader(args.source)
    aside = Quarantine(args.out, args.max_damaged, "--max-damaged", SET_ASIDE_FILE, warn=False)
    title, console = f"Judging {args.source}", Console(stderr=True)
    try:
        found = curate(
            reader,
            config,
            aside,
            reader.place,
            lambda numbers: track(numbers, title, transient=True, console=console),
        )
    finally:
        print_errors([line["error"] for line in aside.lines])
    if not found.kept:
        raise ValueError(f"{args.source}: none of {len(reader)} documents stays: {found.by_reason}")
    kept = track(found.kept, "Writing", transient=True, console=console)
    copied = (Members(reader.place(number)[1], reader.members(number)) for number in kept)
    written = write_shards(copied, args.out, args.per_shard)
    with (args.out / DROPPED_FILE).open("w") as file:
        for number, reason in sorted(found.dropped.items()):
            shard, key = reader.place(number)
            file.write(json.dumps({"shard": shard, "key": key, "reason": reason}) + "\n")
    print_counts(
        f"{args.out}: {len(found.kept)} of {len(reader)} documents kept",
        {"source": written, "left out,": found.by_reason},
    )
    return {
        "documents": len(reader),
        "kept": len(found.kept),
        "by_source": written,
        "dropped": found.by_reason,
        "damaged": aside.lines,
    }


def _config(args: argparse.Namespace) -> Any:
    from omni.datamodules.curation import CurationConfig

    return CurationConfig(
        languages=tuple(args.language),
        language_threshold=args.language_threshold,
        language_model=args.language_model,
        quality=args.quality,
        exact=args.exact,
        near=args.near,
    )
