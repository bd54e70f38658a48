"""Where a command writes what it prints."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any


def add_json_option(
    parser: argparse.ArgumentParser, help: str = "also write the figures to this JSON file"
) -> None:
    """Add ``--json FILE``; ``help`` says what is written."""
    parser.add_argument("--json", type=Path, metavar="FILE", help=help)


def write_json(path: Path | None, figures: Any) -> None:
    """Write what ``--json`` asked for, if it did."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(figures, indent=1) + "\n")
