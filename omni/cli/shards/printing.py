"""What the actions of ``omni shards`` have in common in what they print."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SHOWN_ERRORS = 10
"""Damaged documents that are printed; ``--json`` has them all."""
BAR = 40
"""Characters of the longest bar of a histogram."""


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
    from rich.console import Console
    from rich.progress import Progress

    with Progress(transient=True, console=Console(stderr=True)) as progress:
        task = progress.add_task(title, total=total)
        yield lambda: progress.advance(task)
