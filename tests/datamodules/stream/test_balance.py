"""Who gets which rows: each row once, and the ranks' shares cost about the same."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni.datamodules.stream.balance import balanced_shares, piece_costs
from omni.datamodules.stream.batches import Share
from omni.datamodules.stream.loader import Split
from omni.datamodules.stream.plan import Plan
from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.table import Table


def test_worked_example() -> None:
    """Two ranks, batches of one row: turns of like rows, and whoever had the heavier gets the lighter next."""
    assert balanced_shares([1.0, 9.0, 5.0, 6.0], batch_rows=1, world=2).tolist() == [[[1], [3]], [[0], [2]]]
    assert balanced_shares([1.0, 9.0, 5.0, 6.0], batch_rows=2, world=2).tolist() == [[[2, 3], [0, 1]]]
    assert balanced_shares([1.0, 9.0, 5.0, 6.0], batch_rows=4, world=1).tolist() == [[[0, 1, 2, 3]]]


@given(
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_every_row_once(turns: int, world: int, batch_rows: int, random: object) -> None:
    costs = np.random.default_rng(random.getrandbits(32)).random(turns * world * batch_rows)  # type: ignore[attr-defined]
    shares = balanced_shares(costs.tolist(), batch_rows, world)
    assert shares.shape == (turns, world, batch_rows)
    assert sorted(shares.ravel().tolist()) == list(range(len(costs)))
    if world == 1 and turns == 1:
        assert shares.ravel().tolist() == list(range(len(costs))), "one batch has the step's own order"


@pytest.mark.parametrize(("rows", "batch_rows", "world"), [(64, 1, 8), (64, 2, 8), (64, 8, 8), (256, 4, 4)])
def test_ranks_finish_together(rows: int, batch_rows: int, world: int) -> None:
    """Rows whose costs differ up to threefold, over twenty steps; in their own order ranks wait much longer."""
    random = np.random.default_rng(0)
    spread, unsorted, waits = [], [], []
    for _ in range(20):
        costs = 1 + 2 * random.random(rows)
        shares = balanced_shares(costs.tolist(), batch_rows, world)
        of_rank = costs[shares].sum((0, 2))
        of_turn = costs[shares].sum(2)
        spread.append(of_rank.max() / of_rank.mean() - 1)
        unsorted.append(costs.reshape(-1, world, batch_rows).sum((0, 2)).max() / of_rank.mean() - 1)
        waits.append(of_turn.max(1).sum() / of_turn.mean(1).sum() - 1)
    assert np.mean(spread) < 0.01 < np.mean(unsorted)
    assert np.mean(waits) < 0.06


def test_costs() -> None:
    """One long document costs more than two halves, and patches to be learnt cost extra."""
    targets = np.array([[50, 0, 0], [25, 0, 0], [0, 30, 9]])
    costs = piece_costs(np.array([100, 50, 50]), targets, attention_span=200, patch_cost=2.0)
    assert costs.tolist() == [100 + 50, 50 + 12.5, 50 + 12.5 + 60]


@pytest.mark.parametrize(("batch_rows", "world"), [(1, 3), (3, 1), (2, 4), (0, 1)])
def test_rows_that_cannot_be_split_are_an_error(batch_rows: int, world: int) -> None:
    message = rf"global_rows 4 must be a multiple of data\.batch_rows {batch_rows} x {world} ranks"
    with pytest.raises(ValueError, match=message):
        balanced_shares([1.0] * 4, batch_rows, world)


def test_ranks_of_a_plan_have_equal_costs() -> None:
    """The plan's own rows: costs counted here anew from the documents of each rank, attention and patches included."""
    random = np.random.default_rng(0)
    lengths = random.integers(5, 400, 3_000)
    patches = np.where(random.random(3_000) < 0.3, lengths // 2, 0)
    table = Table(lengths, np.stack([lengths // 4, patches, lengths * 0], axis=1))
    config = PlanConfig(row_length=400, global_rows=64, attention_span=200, patch_cost=3.0)

    def cost(share: Share) -> float:
        return sum(
            length + length**2 / 200 + 3.0 * patches[piece.document]
            for piece in share.pieces()
            for length in [piece.stop - piece.start]
        )

    balanced, in_order = [], []
    for step, _ in islice(Plan({"web": table}, config).steps(), 6):
        ranks = [sum(map(cost, Split(batch_rows=4, rank=rank, world=4).shares(step))) for rank in range(4)]
        balanced.append(max(ranks) / np.mean(ranks) - 1)
        rows = [cost(Share((row,), (0,), (), 0)) for row in step.rows]
        assert sum(rows) == pytest.approx(sum(ranks)) == pytest.approx(sum(step.costs))
        in_order.append(np.reshape(rows, (4, 16)).sum(1).max() / np.mean(ranks) - 1)
    assert np.mean(balanced) < 0.01 < np.mean(in_order)
