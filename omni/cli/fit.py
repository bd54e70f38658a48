"""``omni fit``: the entry of training; the parser itself is in ``lightning_cli``, which brings torch and Lightning."""

from __future__ import annotations

import argparse
from collections.abc import Sequence as Seq


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """List ``fit`` in the help of ``omni``; its arguments are parsed by ``run_arguments``."""
    subparsers.add_parser(
        "fit", help="train from a config (--config FILE, any value overridable)", add_help=False
    )


def run_arguments(arguments: Seq[str]) -> None:
    """Train with the given command-line arguments.

    Raises:
        ValueError: the config parses but can't work; the message names the keys.
    """
    from omni.cli.allocator import keep_freed_memory
    from omni.cli.lightning_cli import OmniCLI

    keep_freed_memory()
    OmniCLI.from_arguments(["fit", *arguments])
