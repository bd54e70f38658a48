"""Who does the work: ``--workers N`` processes of this machine, or a cluster by ``--ray ADDRESS``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omni.datamodules.shards.pool import Workers


def add_workers_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--workers`` and ``--ray``."""
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="processes (default: one a core, or 1 for less than 64 MiB); with --ray, tasks at a time",
    )
    parser.add_argument(
        "--ray",
        metavar="ADDRESS",
        help="work on a Ray cluster, one task a shard: auto, HOST:PORT, or local for one on this machine; its "
        "machines must find the shards under the same paths (needs the extra `cluster`)",
    )


def workers_of(args: argparse.Namespace, *folders: Path | str, gpus: float = 0.0) -> Workers:
    """What the options say; ``folders`` are the shards to work on, ``gpus`` those of a task."""
    from omni.datamodules.shards.pool import workers_for
    from omni.datamodules.shards.shard_folder import open_folder
    from omni.datamodules.shards.tasks import Cluster

    if args.ray is not None:
        return Cluster(args.ray, args.workers, gpus)
    if args.workers is not None:
        return int(args.workers)
    if gpus:
        return 1  # processes would share the GPU
    return workers_for(size for folder in folders for size in open_folder(folder).sizes())
