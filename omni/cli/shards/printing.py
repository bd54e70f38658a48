"""What the actions of ``omni shards`` have in common in what they print."""

from __future__ import annotations

from typing import Any

SHOWN_ERRORS = 10
"""Damaged documents that are printed; ``--json`` has them all."""


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
