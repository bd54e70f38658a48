"""The plan: a pure function of lengths, settings and seed that covers every document once an epoch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni.datamodules.stream.plan import Plan, PlanConfig, Step, Table


def table_of(lengths: list[int]) -> Table:
    """Half of the positions are text targets, the other modalities have one each where there is room."""
    targets = [[length // 2, int(length > 2), int(length > 3)] for length in lengths]
    return Table(np.array(lengths, np.int64), np.array(targets, np.int64).reshape(-1, 3))


def steps_of(plan: Plan, count: int) -> list[Step]:
    return [plan.step(number) for number in range(count)]


def rows_of(steps: list[Step]) -> list[tuple[int, ...]]:
    return [row for step in steps for row in step.rows]


CONFIG = PlanConfig(row_length=10, global_rows=2, window=5, seed=3)
LENGTHS = [4, 6, 10, 3, 3, 4, 0, 9, 1, 11]  # document 6 is damaged, document 9 too long


def test_steps_are_the_epochs_rows_one_behind_another() -> None:
    """A step may hold the last rows of one epoch and the first of the next."""
    plan = Plan(table_of(LENGTHS), CONFIG)
    assert plan.usable.tolist() == [0, 1, 2, 3, 4, 5, 7, 8]
    epochs = [plan.epoch_rows(epoch) for epoch in range(6)]
    rows = [row for epoch in epochs for row in epoch]
    assert rows_of(steps_of(plan, len(rows) // 2)) == rows[: len(rows) // 2 * 2]
    assert epochs[0] != epochs[1], "each epoch has its own order"


def test_a_step_counts_what_all_its_rows_hold() -> None:
    plan = Plan(table_of(LENGTHS), CONFIG)
    for step in steps_of(plan, 5):
        documents = [number for row in step.rows for number in row]
        assert step.positions == sum(LENGTHS[number] for number in documents)
        assert step.targets == (
            sum(LENGTHS[number] // 2 for number in documents),
            sum(LENGTHS[number] > 2 for number in documents),
            sum(LENGTHS[number] > 3 for number in documents),
        )


SOME_USABLE = st.lists(st.integers(0, 25), min_size=1, max_size=60).filter(
    lambda lengths: any(0 < length <= 20 for length in lengths)
)


@given(SOME_USABLE, st.integers(1, 5), st.integers(1, 70), st.integers(0, 5))
def test_every_document_exactly_once_an_epoch(
    lengths: list[int], global_rows: int, window: int, seed: int
) -> None:
    config = PlanConfig(row_length=20, global_rows=global_rows, window=window, seed=seed)
    plan = Plan(table_of(lengths), config)
    usable = [number for number, length in enumerate(lengths) if 0 < length <= 20]
    epochs = [plan.epoch_rows(epoch) for epoch in range(3)]
    for epoch in epochs:
        assert sorted(number for row in epoch for number in row) == usable
        assert all(0 < sum(lengths[number] for number in row) <= 20 for row in epoch)
    rows = [row for epoch in epochs for row in epoch]
    steps = len(rows) // global_rows
    assert rows_of(steps_of(plan, steps)) == rows[: steps * global_rows]


def test_the_plan_is_a_pure_function_of_its_settings() -> None:
    """Whatever was asked for before, and in whatever order."""
    lengths = np.random.default_rng(0).integers(1, 40, size=50).tolist()
    config = PlanConfig(row_length=64, global_rows=3, window=20, seed=1)
    in_order = steps_of(Plan(table_of(lengths), config), 40)
    plan = Plan(table_of(lengths), config)
    for number in [39, 0, 17, 5, 38, 1, 39, *range(40)]:
        assert plan.step(number) == in_order[number], number


def test_seeds_differ() -> None:
    lengths = np.random.default_rng(0).integers(1, 40, size=50).tolist()
    orders = {str(Plan(table_of(lengths), PlanConfig(row_length=64, seed=seed)).step(0)) for seed in range(5)}
    assert len(orders) == 5


def test_few_epochs_are_kept() -> None:
    plan = Plan(table_of([5, 6, 7]), PlanConfig(row_length=10, global_rows=2))
    steps_of(plan, 200)
    assert len(plan._kept) <= 2


def test_one_row_can_be_many_epochs_of_a_step() -> None:
    plan = Plan(table_of([5]), PlanConfig(row_length=8, global_rows=4))
    assert plan.step(7) == Step(((0,),) * 4, (8, 4, 4), 20)


def test_fill() -> None:
    plan = Plan(table_of([5, 5, 5]), PlanConfig(row_length=10))
    assert plan.fill() == 0.75


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([11, 12, 0], "none of 3 documents fits into a row of 10 positions .*; the shortest has 11"),
        ([0, 0], "none of 2 documents fits into a row of 10 positions .*; none could be read"),
        ([], "none of 0 documents"),
    ],
    ids=["too long", "damaged", "none"],
)
def test_nothing_usable_is_an_error(lengths: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Plan(table_of(lengths), PlanConfig(row_length=10))


@pytest.mark.parametrize("name", ["row_length", "global_rows", "window"])
def test_settings_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match=rf"data\.plan\.{name} must be at least 1, got 0"):
        PlanConfig(**{name: 0})
