"""Who gets which rows of a step: ranks that wait for each other should finish together."""

from __future__ import annotations

from collections.abc import Sequence as Seq

import numpy as np
from jaxtyping import Float, Int

from omni.modality import IMAGE


def piece_costs(
    lengths: Int[np.ndarray, " pieces"],
    targets: Int[np.ndarray, "pieces M"],
    attention_span: int,
    patch_cost: float,
) -> Float[np.ndarray, " pieces"]:
    """Cost of each piece in units of one position without attention: ``n + n² / attention_span + patches``.

    Causal attention over n positions takes 2 n² D multiplications and additions a layer, and the projections
    and an expert of width 4 D take 24 n D, so the two are equal at n = 12 D (``attention_span``). A patch that
    is a target costs ``patch_cost`` more: its flow head.
    """
    return lengths + lengths.astype(np.float64) ** 2 / attention_span + patch_cost * targets[:, IMAGE.id]


def balanced_shares(costs: Seq[float], batch_rows: int, world: int) -> Int[np.ndarray, "turns world B"]:
    """Rows of each rank's batch at each turn (accumulated batch) of a step.

    Rows are dealt out, the heaviest first, to the batch with the least so far; batches of similar cost form a
    turn; and in a turn the rank with the least so far gets the heaviest. So the ranks' batches of a turn cost
    about the same, and their steps even more nearly. Longest-processing-time scheduling (Graham 1969) with
    equal counts.

    Raises:
        ValueError: the rows of a step can't be split evenly.
    """
    rows = len(costs)
    if batch_rows < 1 or world < 1 or rows % (batch_rows * world):
        raise ValueError(
            f"data.plan.global_rows {rows} must be a multiple of data.batch_rows {batch_rows} x {world} ranks"
        )
    costs_R = np.asarray(costs, dtype=np.float64)
    batches = np.empty((rows // batch_rows, batch_rows), dtype=np.int64)
    sums = np.zeros(len(batches))
    for place, dealt in enumerate(np.argsort(-costs_R, kind="stable").reshape(batch_rows, -1)):
        lightest = np.argsort(sums, kind="stable")
        batches[lightest, place] = dealt
        sums[lightest] += costs_R[dealt]
    turns = np.argsort(-sums, kind="stable").reshape(-1, world)
    shares = np.empty((len(turns), world, batch_rows), dtype=np.int64)
    totals = np.zeros(world)
    for turn, group in enumerate(turns):
        lightest = np.argsort(totals, kind="stable")
        shares[turn, lightest] = batches[group]
        totals[lightest] += sums[group]
    return np.sort(shares, axis=-1)
