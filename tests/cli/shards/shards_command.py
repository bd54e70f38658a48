"""What ``omni shards ...`` runs, in this process."""

from __future__ import annotations

import argparse

from omni.cli.shards.command import add_parser


def omni_shards(*arguments: object) -> None:
    """Run an action; ``omni`` itself turns a ``ValueError`` into exit status 2."""
    parser = argparse.ArgumentParser()
    add_parser(parser.add_subparsers())
    args = parser.parse_args(["shards", *map(str, arguments)])
    args.run(args)
