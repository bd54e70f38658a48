"""Hashes of the order: equal for the same documents, whatever their lengths, and other for another order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from omni.datamodules.stream.order import WindowOrder, window_order
from omni.datamodules.stream.plan import Plan
from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.table import Table

CONFIG = PlanConfig(row_length=64, global_rows=2, window=32, run=1, seed=3)


def table(lengths: np.ndarray) -> Table:
    return Table(lengths, np.ones((len(lengths), 3), np.int64))


def orders(lengths: np.ndarray, config: PlanConfig = CONFIG, steps: int = 40) -> list[WindowOrder]:
    """The windows of the first steps, each once."""
    plan = Plan({"web": table(lengths)}, config)
    found: dict[int, WindowOrder] = {}
    state = plan.start()
    for _ in range(steps):
        order = window_order(plan, state)
        assert order is not None
        found[order.window] = order
        step = plan.step(state)
        assert step is not None
        state = step[1]
    return list(found.values())


LENGTHS = np.random.default_rng(0).integers(4, 30, 100)


def test_the_same_data_and_seed_give_the_same_hashes() -> None:
    assert orders(LENGTHS) == orders(LENGTHS.copy())
    assert [order.window for order in orders(LENGTHS)[:3]] == [0, 1, 2]
    assert {order.count for order in orders(LENGTHS)} == {32}


def test_other_lengths_are_the_same_documents_in_other_rows() -> None:
    pairs = list(zip(orders(LENGTHS), orders(LENGTHS * 2), strict=False))
    assert len(pairs) > 3
    assert all(a.documents == b.documents and a.rows != b.rows for a, b in pairs)


def test_another_seed_is_another_order() -> None:
    for a, b in zip(orders(LENGTHS), orders(LENGTHS, replace(CONFIG, seed=4)), strict=False):
        assert a.documents != b.documents


def test_a_document_too_long_for_a_row_moves_those_behind_it() -> None:
    longer = LENGTHS.copy()
    longer[7] = 65
    pairs = zip(orders(longer), orders(LENGTHS), strict=False)
    assert any(a.documents != b.documents for a, b in pairs)


def test_behind_the_end_of_a_plan_there_is_none() -> None:
    plan = Plan({"web": table(LENGTHS[:4])}, CONFIG, once=True)
    *_, (_, last) = plan.steps()
    assert window_order(plan, last) is None
