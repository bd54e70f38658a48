"""``omni plan --dry-run``: the sharded model of a config, laid out for processes that aren't there."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from omni.nn.config import ModelConfig, Vocabulary
    from omni.parallel.mesh import MeshSizes

GIB = 2**30


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of dry runs."""
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="lay the model out for --world processes without them, and report what one holds; --mesh then has "
        "the names of OmniStrategy, such as replicate=8,shard=16,expert=8",
    )
    parser.add_argument(
        "--world", type=int, help="processes of a dry run (default: what --mesh multiplies to)"
    )
    parser.add_argument("--rank", type=int, default=0, help="whose part is reported (default 0)")


def run(args: argparse.Namespace, config: ModelConfig, vocabulary: Vocabulary) -> dict[str, Any]:
    """The figures of a dry run.

    Raises:
        ValueError: no mesh, one that is not of ``--world`` processes, or that the model doesn't fit.
    """
    from omni.parallel.dry_run import dry_run
    from omni.parallel.mesh import DIMENSIONS

    if args.mesh is None:
        raise ValueError(
            f"--dry-run needs --mesh, such as shard=8,expert=8; its names are {', '.join(DIMENSIONS)}"
        )
    sizes = parse_sizes(args.mesh)
    sizes.check_world(sizes.world if args.world is None else args.world)
    if not 0 <= args.rank < sizes.world:
        raise ValueError(f"--rank must be in 0..{sizes.world - 1}, got {args.rank}")
    found = dry_run(config, vocabulary, sizes, rank=args.rank)
    return {
        "config": str(args.config),
        "world": sizes.world,
        "rank": args.rank,
        "mesh": asdict(sizes),
        "bytes": asdict(found) | {"total": found.total},
    }


def parse_sizes(text: str) -> MeshSizes:
    """The mesh written as ``shard=16,expert=8``; what isn't named is 1.

    Raises:
        ValueError: an unknown name, or a size that is no positive number.
    """
    from omni.parallel.mesh import DIMENSIONS, MeshSizes

    sizes: dict[str, int] = {}
    for part in text.split(","):
        name, _, size = part.strip().partition("=")
        if name not in DIMENSIONS:
            raise ValueError(
                f"--mesh {text}: unknown name {name!r}, expected some of {', '.join(DIMENSIONS)}"
            )
        if not size.isdecimal() or name in sizes:
            raise ValueError(f"--mesh {text}: {name} must be there once, as a whole number, got {size!r}")
        sizes[name] = int(size)
    return MeshSizes(**sizes)


def print_dry_run(figures: dict[str, Any]) -> None:
    """Print them as a table."""
    from rich.console import Console
    from rich.table import Table

    sizes = ", ".join(f"{name} {size}" for name, size in figures["mesh"].items() if size > 1) or "one process"
    table = Table()
    table.add_column("part")
    table.add_column("GiB", justify="right")
    for name, value in figures["bytes"].items():
        if name == "total":
            table.add_section()
        if name != "parameters":
            table.add_row(f"{name}, without activations" if name == "total" else name, f"{value / GIB:.3f}")
    console = Console()
    parameters = f"{figures['bytes']['parameters']:,} parameters"
    console.print(
        f"Rank {figures['rank']} of {figures['world']}: {sizes}; {parameters} in all", highlight=False
    )
    console.print(table)
