"""The first packed rows of a folder, for people: which documents share a row."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np
from jaxtyping import Int

from omni.datamodules.shards.dataset import layout_of
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.stream.plan import Plan
from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.source import SINGLE
from omni.datamodules.stream.table import Table
from omni.layout import Layout


@dataclass(frozen=True)
class Packed:
    """A document in a row."""

    key: str
    source: str
    length: int
    """Positions."""
    positions: list[int]
    """By modality."""


def first_rows(
    reader: ShardReader, numbers: list[int], layout: Layout, row_length: int, most: int
) -> tuple[list[list[Packed]], str]:
    """Rows of packed documents, and a sentence that says which documents are packed.

    Args:
        reader: the shards.
        numbers: documents that are packed where the folder is not measured for ``layout``.
        layout: measures those.
        row_length: positions of a row.
        most: rows.
    """
    if layout_of(reader.indexes) == layout.fingerprint:
        positions = np.concatenate([np.asarray(index.positions, np.int64) for index in reader.indexes])
        targets = np.concatenate([np.asarray(index.targets, np.int64) for index in reader.indexes])
        numbers, note = list(range(len(reader))), "Rows of this folder as training packs them."
    else:
        positions, targets = _measured(reader, numbers, layout)
        note = "Only the documents above are packed: the folder is not measured for these tokenizers."
    lengths = positions.sum(1)
    too_long, fits = int((lengths > row_length).sum()), (lengths > 0) & (lengths <= row_length)
    if too_long:
        note += f" {too_long} documents are longer than a row, and left out."
    if not fits.any():
        return [], note
    plan = Plan(
        {SINGLE: Table(lengths, targets)}, PlanConfig(row_length=row_length, global_rows=1), once=True
    )
    rows = []
    for step, _ in islice(plan.steps(), most):
        documents: Iterable[int] = step.rows[0][:, 1].tolist()
        rows.append([_packed(reader, numbers[at], positions[at]) for at in documents])
    return rows, note


def _measured(
    reader: ShardReader, numbers: list[int], layout: Layout
) -> tuple[Int[np.ndarray, "documents M"], Int[np.ndarray, "documents M"]]:
    found = []
    for number in numbers:
        try:
            found.append(layout.measure(reader[number]))
        except ValueError:  # shown as damaged
            found.append((np.zeros(3, np.int64), np.zeros(3, np.int64)))
    return np.stack([positions for positions, _ in found]), np.stack([targets for _, targets in found])


def _packed(reader: ShardReader, number: int, positions: Int[np.ndarray, " M"]) -> Packed:
    index, row = reader.find(number)
    return Packed(index.key(row), index.source(row), int(positions.sum()), positions.tolist())
