"""The ``omni`` command: one file per subcommand beside this one."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence as Seq

# OpenMP's threads soon sleep while they wait: spinning on makes training ten times slower on cores that have
# other work, too (docs/decisions.md). GNU OpenMP reads this when torch is loaded, so it stands before that.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

SUBCOMMANDS = {
    "demo": "omni.cli.demo.command",
    "fit": "omni.cli.fit",
    "generate": "omni.cli.generate",
    "serve": "omni.cli.serve",
    "votes": "omni.cli.votes",
    "eval": "omni.cli.eval",
    "export": "omni.cli.export",
    "needle": "omni.cli.needle.command",
    "tokenizer": "omni.cli.tokenizer",
    "shards": "omni.cli.shards.command",
    "posttrain-data": "omni.cli.posttrain_data",
    "plan": "omni.cli.plan",
    "cascade": "omni.cli.cascade",
    "ablate": "omni.cli.ablate.command",
}
"""Module of each subcommand; it has ``add_parser``."""
PASSED_ON = {"fit"}
"""Subcommands that parse their own arguments, ``--help`` among them."""


def build_parser() -> argparse.ArgumentParser:
    """The parser with all subcommands."""
    parser = argparse.ArgumentParser(
        prog="omni",
        description="Train one Mixture-of-Experts transformer that reads and writes text, images and audio.",
        epilog="`omni demo` makes data, tokenizers, model, evaluation and a report in about 15 minutes on a laptop.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for module in SUBCOMMANDS.values():
        importlib.import_module(module).add_parser(subparsers)
    return parser


def main(argv: Seq[str] | None = None) -> int:
    """Run a subcommand; an error in what the user gave is one line and exit status 2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in PASSED_ON:
            importlib.import_module(SUBCOMMANDS[arguments[0]]).run_arguments(arguments[1:])
            return 0
        args = build_parser().parse_args(arguments)
        args.run(args)
    except (ValueError, OSError, ImportError) as error:
        # Bad input, a file or a missing package; anything else is a defect and shows its traceback.
        print(f"omni: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("omni: stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
