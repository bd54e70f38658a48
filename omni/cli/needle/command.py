"""``omni needle``: documents with something hidden in them, and how well a checkpoint finds it."""

from __future__ import annotations

import argparse

from omni.cli.needle.making import add_make
from omni.cli.needle.testing import add_test


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``needle`` with its actions."""
    parser = subparsers.add_parser(
        "needle",
        help="find a number, a picture or a spoken word in a long text",
        description="Needle-in-a-haystack: prose in which a magic number, a picture of a digit or a spoken digit is "
        "hidden and asked for. `make` writes documents to train on, `test` measures a checkpoint at lengths and "
        "depths on held-out prose, pictures and voices.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add_make(actions)
    add_test(actions)
