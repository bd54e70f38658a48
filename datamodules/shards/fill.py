"""What packing makes of measured documents: how full rows are, and how evenly the ranks of a step are loaded."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np

from omni.datamodules.shards.dataset import data_fingerprint
from omni.datamodules.shards.shard_index import ShardIndex
from omni.datamodules.stream.balance import balanced_shares
from omni.datamodules.stream.plan import Plan
from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.source import SINGLE
from omni.datamodules.stream.table import Table

MOST_WINDOWS = 16
"""Windows of ``PlanConfig.window`` documents that are packed for the figures."""


@dataclass(frozen=True, kw_only=True)
class FillConfig:
    """Rows and ranks that the figures are predicted for."""

    row_length: int = 2048
    """Positions of a row."""
    ranks: int = 8
    """Processes that train together."""
    rows_of_rank: int = 4
    """Rows of each rank in one step, one batch each."""

    def __post_init__(self) -> None:
        for name in ("row_length", "ranks", "rows_of_rank"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")


@dataclass(frozen=True)
class Fill:
    """What packing makes of the documents."""

    row_length: int
    documents: int
    """Documents that were packed: all, or those of the first windows."""
    rows: int
    fill: float
    """Share of the rows' positions that hold something."""
    padding: float
    """The rest."""
    padding_alone: float
    """What the padding would be with one document a row."""
    too_long: int
    """Documents that are longer than a row, of all: left out unless ``data.plan.too_long`` says otherwise."""
    too_long_positions: int
    """Their positions."""
    ranks: int
    steps: int
    balance: float
    """Mean load of a rank by that of the most loaded one, over all batches: 1 where none waits for another."""


def packed_fill(indexes: Seq[ShardIndex], config: FillConfig) -> Fill | None:
    """Pack the documents of measured shards as training would; ``None`` where none of them fits into a row.

    The load of a row is what ``omni.datamodules.stream.balance`` says. Documents are packed in windows, so the first
    ``MOST_WINDOWS`` of the shuffled order stand for the rest.
    """
    lengths = np.concatenate([index.positions.sum(1, dtype=np.int64) for index in indexes])
    targets = np.concatenate([np.asarray(index.targets) for index in indexes])
    fits = (lengths > 0) & (lengths <= config.row_length)
    if not fits.any():
        return None
    rows_of_step = config.ranks * config.rows_of_rank
    plan = Plan(
        {SINGLE: Table(lengths, targets, data_fingerprint(indexes))},
        PlanConfig(row_length=config.row_length, global_rows=rows_of_step),
        once=True,
    )
    most = MOST_WINDOWS * plan.config.window
    documents = rows = steps = positions = 0
    mean = slowest = 0.0
    for step, _ in plan.steps():
        filled = [row for row in step.rows if len(row)]
        documents, rows, positions = (
            documents + sum(map(len, filled)),
            rows + len(filled),
            positions + step.positions,
        )
        if len(filled) == rows_of_step or not steps:  # the last step is filled up with empty rows
            loads = np.array(step.costs)[balanced_shares(step.costs, 1, config.ranks)].sum(-1)
            mean, slowest, steps = mean + loads.mean(1).sum(), slowest + loads.max(1).sum(), steps + 1
        if documents >= most:
            break
    over = lengths > config.row_length
    fill = positions / (rows * config.row_length)
    return Fill(
        row_length=config.row_length,
        documents=documents,
        rows=rows,
        fill=fill,
        padding=1 - fill,
        padding_alone=1 - float(lengths[fits].mean()) / config.row_length,
        too_long=int(over.sum()),
        too_long_positions=int(lengths[over].sum()),
        ranks=config.ranks,
        steps=steps,
        balance=float(mean / slowest),
    )
