"""Whether runs saw the same documents in the same order, from the hashes in their run logs."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from omni.callbacks.order import COLUMNS


@dataclass(frozen=True)
class WindowHash:
    """One window of the stream as a run saw it."""

    count: int
    """Documents."""
    documents: str
    """Hash of which documents it holds."""
    rows: str
    """Hash of how they are packed into rows, and in what order the rows come."""


@dataclass(frozen=True)
class OrderCheck:
    """The runs of one seed against each other."""

    runs: tuple[str, ...]
    windows: int
    """Windows that all of them saw."""
    documents: int
    """Documents in these."""
    same: bool
    """Whether these hold the same documents in all runs."""
    same_rows: bool
    """Whether they are packed alike, too; where variants lay documents out in other lengths they can't be."""
    differing: tuple[str, ...] = ()
    """Runs whose documents differ from the first one's."""

    def __str__(self) -> str:
        if not self.windows:
            return f"No order was logged that {', '.join(self.runs)} have in common."
        if not self.same:
            return (
                f"{', '.join(self.differing)} saw other documents, or in another order, than {self.runs[0]}."
            )
        rows = "in the same rows" if self.same_rows else "packed into other rows, since their lengths differ"
        return (
            f"{self.documents:,} documents in {self.windows} windows were the same in the same order, {rows}."
        )


def read_order(path: Path) -> dict[int, WindowHash]:
    """Hashes by window; of a window that was logged twice (a run that was resumed), the last.

    Raises:
        ValueError: the file has other columns.
    """
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path}: expected the columns {', '.join(COLUMNS)}, got {reader.fieldnames}")
        return {
            int(row["window"]): WindowHash(int(row["count"]), row["documents"], row["rows"]) for row in reader
        }


def check_order(orders: Mapping[str, Mapping[int, WindowHash]]) -> OrderCheck:
    """Compare the windows that all runs of a seed have in common; budgets may have ended them at others."""
    names = tuple(orders)
    common = sorted(set.intersection(*(set(order) for order in orders.values()))) if orders else []
    first = orders[names[0]] if names else {}
    differing = tuple(
        name for name in names if any(orders[name][at].documents != first[at].documents for at in common)
    )
    return OrderCheck(
        runs=names,
        windows=len(common),
        documents=sum(first[at].count for at in common),
        same=bool(common) and not differing,
        same_rows=all(orders[name][at].rows == first[at].rows for name in names for at in common),
        differing=differing,
    )
