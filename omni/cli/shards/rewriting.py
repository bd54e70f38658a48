"""``omni shards merge``, ``shuffle`` and ``tokenize``: new shards of the documents of others."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from omni.cli.shards.places import SHARDS, folder_or_url, local_folder
from omni.cli.shards.printing import (
    add_figures_option,
    figures_to,
    print_counts,
    print_errors,
    progress_to,
)
from omni.cli.shards.workers import add_workers_options, workers_of

if TYPE_CHECKING:
    from omni.datamodules.shards.parallel import Written

RESUMES = "A run that was stopped goes on where it was when the same command is given again."


def add_merge(actions: argparse._SubParsersAction) -> None:
    """Add ``merge``."""
    merge = actions.add_parser(
        "merge",
        help="write the documents of one or more folders to new shards of the asked size",
        description=f"Files are copied byte by byte, none is decoded. {RESUMES}",
    )
    _add_copy_options(merge)
    merge.set_defaults(run=run_copy, seed=None)


def add_shuffle(actions: argparse._SubParsersAction) -> None:
    """Add ``shuffle``."""
    shuffle = actions.add_parser(
        "shuffle",
        help="write the documents of one or more folders to new shards in random order",
        description="For shards whose neighbours are alike; training shuffles anyway. The order is a function of the "
        f"seed and the documents. Files are copied byte by byte. {RESUMES}",
    )
    _add_copy_options(shuffle)
    shuffle.add_argument("--seed", type=int, default=0, metavar="N", help="of the order (default 0)")
    shuffle.set_defaults(run=run_copy)


def _add_copy_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "source", type=folder_or_url, nargs="+", metavar="SRC", help="folders or URLs of shards"
    )
    parser.add_argument("out", type=local_folder, metavar="OUT", help="folder of the new shards")
    parser.add_argument(
        "--per-shard", type=int, default=2_000, metavar="N", help="documents a shard (default 2000)"
    )
    parser.add_argument(
        "--number-keys",
        action="store_true",
        help="put the number of its folder before each key (1/KEY), where folders have the same keys",
    )
    parser.add_argument(
        "--tokenizers", type=Path, metavar="DIR", help="measure the new shards for these tokenizers"
    )
    add_workers_options(parser)
    add_figures_option(parser)


def run_copy(args: argparse.Namespace) -> None:
    """Merge or shuffle."""
    from omni.datamodules.shards.copying import copy_shards, shards_of_copy

    title = f"Merging to {args.out}" if args.seed is None else f"Shuffling to {args.out}"
    total = shards_of_copy(args.source, args.per_shard)
    with figures_to(args.json) as write:
        with progress_to(title, total) as report:
            written = copy_shards(
                args.source,
                args.out,
                seed=args.seed,
                per_shard=args.per_shard,
                number_keys=args.number_keys,
                workers=workers_of(args, *args.source),
                tokenizers=args.tokenizers,
                report=report,
            )
        write({"documents": written.documents, "by_source": written.by_source, "shards": total})
        print_counts(
            f"{args.out}: {written.documents} documents in {total} shards", {"source": written.by_source}
        )


def add_tokenize(actions: argparse._SubParsersAction) -> None:
    """Add ``tokenize``."""
    parser = actions.add_parser(
        "tokenize",
        help="encode the clips with the audio codec ahead of time",
        description="Writes the shards again with the codes of every clip beside it, and measures them. Training with "
        f"the same codec then reads the codes. {RESUMES}",
    )
    parser.add_argument("source", type=folder_or_url, metavar="SRC", help=SHARDS)
    parser.add_argument("out", type=local_folder, metavar="OUT", help="folder of the new shards")
    parser.add_argument(
        "--tokenizers", type=Path, required=True, metavar="DIR", help="folder of the model's tokenizers"
    )
    parser.add_argument(
        "--device",
        metavar="DEVICE",
        help="where the codec runs: cpu, cuda, cuda:1 (default: cuda where there is one and the codec can use it); "
        "codes from a GPU may differ from a CPU's in the last bits of a tie",
    )
    parser.add_argument(
        "--batch", type=int, default=32, metavar="N", help="clips at a time on a GPU (default 32)"
    )
    parser.add_argument(
        "--max-damaged",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the documents (0 to 1) that may be damaged; they are left out (default 0)",
    )
    add_workers_options(parser)
    add_figures_option(parser)
    parser.set_defaults(run=run_tokenize)


def run_tokenize(args: argparse.Namespace) -> None:
    """Tokenize."""
    from omni.datamodules.shards.codes import tokenize_shards
    from omni.datamodules.shards.shard_folder import open_folder
    from omni.tokenizers.audio.batches import best_device
    from omni.tokenizers.bundle import Tokenizers

    total = len(open_folder(args.source).shards)
    device = args.device or best_device(Tokenizers.load(args.tokenizers).audio)
    with figures_to(args.json) as write:
        with progress_to(f"Tokenizing {args.source}", total) as report:
            written = tokenize_shards(
                args.source,
                args.out,
                args.tokenizers,
                device=device,
                batch=args.batch,
                workers=workers_of(args, args.source, gpus=float(device != "cpu")),
                max_damaged=args.max_damaged,
                report=report,
            )
        _report_tokenized(args.out, written, device)
        write(
            {
                "documents": written.documents,
                "by_source": written.by_source,
                "device": device,
                "damaged": [damage.error for damage in written.left_out],
            }
        )


def _report_tokenized(out: Path, written: Written, device: str) -> None:
    print_errors([damage.error for damage in written.left_out])
    print_counts(
        f"{out}: {written.documents} documents, encoded on {device}, {len(written.left_out)} left out",
        {"source": written.by_source},
    )
