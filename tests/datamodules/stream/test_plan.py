"""The plan: a pure function of tables, settings and seed, that goes on from any step."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from omni.datamodules.stream.mixture import Counters
from omni.datamodules.stream.pieces import TooLong
from omni.datamodules.stream.plan import Plan
from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.state import pack_state, unpack_state
from omni.datamodules.stream.table import Table
from omni.datamodules.stream.weights import MixtureConfig
from tests.datamodules.stream.tables import (
    EveryFive,
    first_rows,
    first_steps,
    pieces_in,
    random_table,
    same,
    table_of,
    targets_of,
)

CONFIG = PlanConfig(row_length=10, global_rows=2, window=5, run=2, seed=3)
LENGTHS = [4, 6, 10, 3, 3, 4, 0, 9, 1, 11]  # document 6 is damaged, document 9 too long
TABLES = {
    "web": random_table(60, 0, 1, 20),
    "books": random_table(9, 1, 10, 20),
    "code": random_table(40, 2, 1, 9),
}
MIXED = PlanConfig(
    row_length=20,
    global_rows=4,
    window=23,
    run=4,
    seed=1,
    mixture=MixtureConfig(
        weights={
            0: {"web": 0.5, "books": 0.3, "code": 0.2},
            9: {"web": 0.1, "books": 0.2, "code": 0.7},
            13: {"web": 1.0, "books": 0.0, "code": 0.0},
        }
    ),
)


def test_the_whole_order_of_a_small_epoch() -> None:
    """A change of it changes every run: raise ``plan.VERSION``. (document, length) row by row, two rows a step."""
    steps = first_steps(Plan({"web": table_of(LENGTHS)}, CONFIG, once=True), 99)
    found = [[[(piece.document, piece.stop) for piece in row] for row in pieces_in(step)] for step in steps]
    assert found == [
        [[(2, 10)], [(0, 4), (1, 6)]],
        [[(7, 9)], [(3, 3)]],
        [[(4, 3), (5, 4), (8, 1)], []],
    ]
    assert [step.positions for step in steps] == [20, 12, 8]


def test_a_step_counts_what_all_its_rows_hold() -> None:
    for step in first_steps(Plan({"web": table_of(LENGTHS)}, CONFIG), 8):
        lengths = [piece.stop for row in pieces_in(step) for piece in row]
        assert step.positions == sum(lengths)
        assert step.targets == tuple(np.sum([targets_of(length) for length in lengths], axis=0).tolist())
        assert len(step.rows) == len(step.costs) == CONFIG.global_rows


SOME_USABLE = st.lists(st.integers(0, 25), min_size=1, max_size=60).filter(
    lambda lengths: any(0 < length <= 20 for length in lengths)
)


@settings(max_examples=40)
@given(SOME_USABLE, st.integers(1, 5), st.integers(1, 70), st.integers(1, 20))
def test_once_gives_every_document_once(lengths: list[int], rows: int, window: int, run: int) -> None:
    config = PlanConfig(row_length=20, global_rows=rows, window=window, run=run)
    plan = Plan({"web": table_of(lengths)}, config, once=True)
    steps = first_steps(plan, 100)
    found = [row for step in steps for row in pieces_in(step)]
    usable = [number for number, length in enumerate(lengths) if 0 < length <= 20]
    assert sorted(piece.document for row in found for piece in row) == usable
    assert all(sum(piece.stop for piece in row) <= 20 for row in found)
    assert len(steps) == plan.length()
    filled = [bool(row) for row in found]
    assert filled == sorted(filled, reverse=True), "only the last rows of the last step are empty"
    assert len(filled) - sum(filled) < rows


def test_small_data_comes_once_an_epoch_whatever_the_window() -> None:
    """A window is never more than the data, so an epoch of one small source is one window."""
    plan = Plan({"web": table_of([5] * 12)}, PlanConfig(row_length=10, global_rows=2))
    for epoch in range(3):
        rows = first_rows(plan, 9)[6 * epoch : 6 * (epoch + 1)]
        assert sorted(piece.document for row in rows for piece in row) == list(range(12))


# ------------------------------------------------------------------ resume


def test_the_plan_goes_on_from_any_step() -> None:
    """Inside windows, at their ends, around both changes of weights, with a plan that knows nothing."""
    whole = list(islice(Plan(TABLES, MIXED).steps(), 24))
    windows = {state.window for _, state in whole}
    assert len(windows) > 8 and any(state.row for _, state in whole)
    states = [Plan(TABLES, MIXED).start(), *(state for _, state in whole)]
    for number, state in enumerate(states[:-1]):
        fresh = Plan(TABLES, MIXED)
        saved = json.loads(json.dumps(pack_state(state, fresh.fingerprint)))
        rest = list(islice(fresh.steps(unpack_state(saved, fresh.fingerprint)), len(whole) - number))
        assert [after for _, after in rest] == [after for _, after in whole[number:]]
        assert all(
            same(*pair) for pair in zip((s for s, _ in rest), (s for s, _ in whole[number:]), strict=True)
        )


def test_one_plan_can_be_asked_in_any_order() -> None:
    plan = Plan(TABLES, MIXED)
    whole = list(islice(Plan(TABLES, MIXED).steps(), 20))
    for number in [19, 3, 4, 12, 0, 19, 8]:
        found = plan.step(whole[number - 1][1] if number else plan.start())
        assert found is not None and same(found[0], whole[number][0])


def test_a_state_is_small() -> None:
    """Sixteen sources of a long run: each has its name in the fingerprint and seven counters."""
    tables = {f"source_{number:02}": random_table(50, number) for number in range(16)}
    plan = Plan(tables, MIXED.__class__(row_length=20))
    state = replace(plan.start(), step=10**7, window=10**7, counters=(Counters(*[10**9] * 7),) * 16)
    packed = pack_state(state, plan.fingerprint)
    assert len(json.dumps(packed["counters"])) < 80 * 16 + 100
    del packed["counters"]
    for name in tables:
        del packed["plan"][f"data of {name}"]
    assert len(json.dumps(packed)) < 500
    one = Plan({"web": TABLES["web"]}, PlanConfig())
    assert len(json.dumps(pack_state(state, one.fingerprint) | {"counters": [[10**9] * 7]})) < 1000


@pytest.mark.parametrize(
    ("tables", "config", "field"),
    [
        ({"web": [5, 6, 8]}, CONFIG, r"data of web was '\w{16}', is '\w{16}'"),
        ({"books": [5, 6, 7]}, CONFIG, r"data of books was 'not there', is"),
        ({"web": [5, 6, 7]}, replace(CONFIG, window=9), r"data\.plan\.window was 5, is 9"),
        ({"web": [5, 6, 7]}, replace(CONFIG, seed=4), r"data\.plan\.seed was 3, is 4"),
        ({"web": [5, 6, 7]}, replace(CONFIG, too_long="truncate"), r"data\.plan\.too_long was 'drop', is 'truncate'"),
        (
            {"web": [5, 6, 7]},
            replace(CONFIG, mixture=MixtureConfig(weights={0: {"web": 1.0}, 5: {"web": 1.0}})),
            r"data\.plan\.mixture was '\w{16}', is '\w{16}'",
        ),
    ],
)  # fmt: skip
def test_a_state_of_another_plan_names_what_differs(
    tables: dict[str, list[int]], config: PlanConfig, field: str
) -> None:
    plan = Plan({"web": table_of([5, 6, 7])}, CONFIG)
    saved = pack_state(plan.start(), plan.fingerprint)
    other = Plan({name: table_of(lengths) for name, lengths in tables.items()}, config)
    with pytest.raises(ValueError, match=rf"belongs to another plan: .*{field}.*Resume with the settings"):
        unpack_state(saved, other.fingerprint)
    with pytest.raises(ValueError, match=r"has no plan, only \['taken'\]"):
        unpack_state({"taken": 3}, plan.fingerprint)


def test_what_only_moves_rows_between_ranks_may_change() -> None:
    one = Plan(TABLES, MIXED)
    other = Plan(TABLES, replace(MIXED, attention_span=7, patch_cost=0.0))
    assert one.fingerprint == other.fingerprint
    assert first_rows(one, 9) == first_rows(other, 9)


# ------------------------------------------------------------------ sources


def positions_by_source(plan: Plan, first: int, last: int) -> np.ndarray:
    positions = np.zeros(3)
    for step in first_steps(plan, last)[first:]:
        for row in pieces_in(step):
            for piece in row:
                positions[piece.source] += piece.stop - piece.start
    return positions


def test_shares_of_windows_are_exact_and_change_at_their_step() -> None:
    plan = Plan(TABLES, replace(MIXED, global_rows=40))
    for first, last, expected in [
        (0, 9, [0.5, 0.3, 0.2]),
        (9, 13, [0.1, 0.2, 0.7]),
        (13, 18, [1.0, 0.0, 0.0]),
    ]:
        found = positions_by_source(plan, first, last)
        np.testing.assert_allclose(found / found.sum(), expected, atol=0.02, err_msg=str(first))


def test_a_change_of_weights_comes_at_its_step() -> None:
    """A window ends just there, so no row holds documents taken under other weights than its step's."""
    states = [state for _, state in islice(Plan(TABLES, MIXED).steps(), 24)]
    assert [state.step for state in states if state.row == 0 and state.step in (9, 13)] == [9, 13]
    sources = [
        {piece.source for row in pieces_in(step) for piece in row}
        for step in first_steps(Plan(TABLES, MIXED), 24)
    ]
    assert all(found == {0} for found in sources[13:])
    assert all(2 in found for found in sources[9:13])


def test_documents_are_counted_by_source() -> None:
    """The counters are those of the windows that were begun before; all pieces up to there are in them."""
    plan = Plan(TABLES, MIXED)
    seen = np.zeros(3)
    for step, state in islice(plan.steps(), 24):
        for row in pieces_in(step):
            for piece in row:
                seen[piece.source] += 1
        if state.row == 0:
            assert [counters.documents for counters in state.counters] == seen.tolist()
        else:
            assert all(
                counters.documents <= count for counters, count in zip(state.counters, seen, strict=True)
            )


@pytest.mark.parametrize("policy", ["drop", "truncate", "split"])
def test_long_documents(policy: TooLong) -> None:
    """Documents are pictures of five positions, rows have 12: pieces of ten, and none cuts a picture."""
    table = table_of([23, 4, 12, 0, 37, 9])
    config = PlanConfig(row_length=12, global_rows=3, too_long=policy)
    plan = Plan({"web": table}, config, {"web": EveryFive(table)}, once=True)
    steps = first_steps(plan, 9)
    found = sorted(piece[1:] for step in steps for row in pieces_in(step) for piece in row)
    short = [(1, 0, 4), (2, 0, 12), (5, 0, 9)]
    long = {
        "drop": [],
        "truncate": [(0, 0, 10), (4, 0, 10)],
        "split": [(0, 0, 10), (0, 10, 20), (0, 20, 23), (4, 0, 10), (4, 10, 20), (4, 20, 30), (4, 30, 37)],
    }
    assert found == sorted(short + long[policy])
    texts = sum(targets_of(stop)[0] for _, _, stop in short) + sum(b - a for _, a, b in long[policy])
    assert sum(step.targets[0] for step in steps) == texts
    assert plan.census()["web"].too_long == 2


def test_fill() -> None:
    assert Plan({"web": table_of([5, 5, 5])}, PlanConfig(row_length=10)).fill(1) == 0.75


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        ([11, 12, 0], "none of 3 documents of web fits into a row of 10 positions .*; the shortest has 11"),
        ([0, 0], "none of 2 documents of web fits into a row of 10 positions .*; none could be read"),
        ([], "none of 0 documents"),
    ],
    ids=["too long", "damaged", "none"],
)
def test_nothing_usable_is_an_error(lengths: list[int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Plan({"web": table_of(lengths)}, PlanConfig(row_length=10))


@pytest.mark.parametrize("name", ["row_length", "global_rows", "window", "run", "attention_span"])
def test_settings_are_checked(name: str) -> None:
    settings: dict[str, Any] = {name: 0}
    with pytest.raises(ValueError, match=rf"data\.plan\.{name} must be at least 1, got 0"):
        PlanConfig(**settings)


def test_an_endless_plan_has_no_length() -> None:
    with pytest.raises(TypeError, match="this plan has no end"):
        Plan({"web": table_of([5])}, CONFIG).length()


def test_tables_can_be_memory_maps_of_any_integer_type(tmp_path: Any) -> None:
    table = TABLES["web"]
    for name in ("lengths", "targets"):
        np.save(tmp_path / f"{name}.npy", getattr(table, name).astype(np.uint16))
    mapped = Table(*(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in ("lengths", "targets")))
    assert mapped.digest() == table.digest() != Table(table.lengths, table.targets, "other").digest()
    assert first_rows(Plan({"web": mapped}, CONFIG), 20) == first_rows(Plan({"web": table}, CONFIG), 20)
