"""``omni export``: a checkpoint as one folder of safetensors, JSON and tokenizers."""

from __future__ import annotations

import argparse
from pathlib import Path

from omni.cli.json_file import add_json_option, write_json


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``export``."""
    parser = subparsers.add_parser(
        "export",
        help="write a checkpoint as safetensors, config.json and tokenizers",
        description="Writes model.safetensors, config.json and tokenizers/ into a new folder: all that `omni "
        "generate`, `omni eval` and Omni.from_checkpoint need, without the optimizer and without pickle.",
    )
    parser.add_argument("checkpoint", help="checkpoint of `omni fit` or `omni demo`")
    parser.add_argument("out", type=Path, help="new folder")
    add_json_option(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Export and say what was written.

    Raises:
        ValueError: a bad checkpoint, or a folder that has files in it.
    """
    from omni.checkpoint import load_model
    from omni.export import write_export

    model, tokenizers = load_model(args.checkpoint)
    write_export(args.out, model, tokenizers)
    files = [path for path in args.out.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    count = model.parameter_counts()["total"]
    print(f"{args.out}: {count:,} parameters, {len(files)} files, {size / 1e6:.1f} MB")
    write_json(args.json, {"parameters": count, "files": len(files), "bytes": size})
