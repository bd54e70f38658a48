"""What the actions of ``omni shards`` have in common in what they print."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from omni.cli.json_file import write_json

SHOWN_ERRORS = 10
"""Damaged documents that are printed; ``--json`` has them all."""
BAR = 40
"""Characters of the longest bar of a histogram."""
STDOUT = Path("-")


def add_figures_option(
    parser: argparse.ArgumentParser, help: str = "also write the figures to this JSON file"
) -> None:
    """Add ``--json FILE``; ``help`` says what is written."""
    parser.add_argument("--json", type=Path, metavar="FILE", help=f"{help}; - is the standard output")


@contextmanager
def figures_to(path: Path | None) -> Iterator[Callable[[Any], None]]:
    """Gives the function that writes what ``--json`` asked for, if it did.

    Where that is the standard output, all that is printed meanwhile goes to the error stream.
    """
    if path != STDOUT:
        yield partial(write_json, path)
        return
    out = sys.stdout
    with redirect_stdout(sys.stderr):
        yield lambda figures: print(json.dumps(figures, indent=1), file=out)


def print_errors(errors: list[str]) -> None:
    for error in errors[:SHOWN_ERRORS]:
        print(f"damaged: {error}")
    if len(errors) > SHOWN_ERRORS:
        print(f"damaged: {len(errors) - SHOWN_ERRORS} more")


def print_counts(head: str, counts: dict[str, Any]) -> None:
    print(head)
    for kind, by_name in counts.items():
        for name, count in sorted(by_name.items()):
            print(f"  {kind} {name}: {count}")


def print_bars(title: str, counts: dict[str, int]) -> None:
    """A histogram as lines of text."""
    print(title)
    wide, most = max(map(len, counts), default=0), max(counts.values(), default=1)
    for name, count in counts.items():
        bar = "#" * -(-count * BAR // most)
        print(f"  {name:>{wide}} {bar} {count}")


@contextmanager
def progress_over(title: str, total: int) -> Iterator[Callable[[], None]]:
    """A progress bar on the error stream; the function that it gives moves it on by one."""
    done = 0
    with progress_to(title, total) as report:

        def advance() -> None:
            nonlocal done
            done += 1
            report(done)

        yield advance


@contextmanager
def progress_to(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """A progress bar on the error stream; the function that it gives says how many are done."""
    from rich.console import Console
    from rich.progress import Progress

    with Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total)
        yield lambda done: progress.update(task, completed=done)
