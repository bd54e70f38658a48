"""The loader: one order whatever the workers and ranks, and on from any step under others."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch

from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.stream.batches import PlannedBatches, Share
from omni.datamodules.stream.loader import PlannedLoader, Split
from omni.datamodules.stream.plan import Plan
from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.weights import MixtureConfig
from omni.sequence import Sequence
from tests.datamodules.stream.tables import EveryFive, pieces_in, random_table

TABLES = {"web": random_table(60, 0, 1, 30), "books": random_table(9, 1, 10, 20)}
"""Web has documents over a row of 20, which are split."""
CONFIG = PlanConfig(
    row_length=20,
    global_rows=4,
    window=17,
    run=4,
    seed=5,
    too_long="split",
    mixture=MixtureConfig(weights={0: {"web": 0.6, "books": 0.4}, 5: {"web": 0.2, "books": 0.8}}),
)
STEPS = 10


class Numbered:
    """A store whose documents are their own numbers: each position holds 100 x document + position."""

    def __init__(self, name: str, bad: frozenset[int] = frozenset(), ahead: int = 0) -> None:
        self.lengths, self.bad, self.ahead = TABLES[name].lengths, bad, ahead
        self.noted: list[tuple[int, str | None]] = []
        self.told: list[list[int]] = []

    @property
    def damaged(self) -> int:
        return len({number for number, error in self.noted if error})

    def note(self, number: int, error: DocumentError | None) -> None:
        self.noted.append((number, str(error) if error else None))

    def prefetch(self, numbers: np.ndarray) -> None:
        self.told.append(numbers.tolist())

    def hole(self, length: int) -> Sequence:
        return replace(self._sequence(0, length), text_ids=np.full(length, -1))

    def __getitem__(self, number: int) -> Sequence:
        if number in self.bad:
            raise DocumentError(f"{number} is bad", part="json", offset=512)
        return self._sequence(number, int(self.lengths[number]))

    def _sequence(self, number: int, length: int) -> Sequence:
        zeros = np.zeros(length, np.int64)
        return Sequence(
            modality=zeros.astype(np.uint8),
            text_ids=100 * number + np.arange(length),
            coords=np.zeros((length, 3), np.int64),
            loss=zeros.astype(bool),
            patches=np.zeros((0, 4), np.float32),
            codes=np.zeros((0, 2), np.int64),
            key=str(number),
        )


@dataclass(frozen=True)
class Got:
    """A batch as these tests see it: the number of each row and what is in it, and who fetched it."""

    rows: tuple[tuple[int, tuple[int, ...]], ...]
    targets: tuple[int, ...]
    positions: int
    process: int


def collated(rows: list[list[Sequence]], share: Share) -> Got:
    contents = [tuple(n for sequence in row for n in sequence.text_ids.tolist()) for row in rows]
    return Got(tuple(zip(share.numbers, contents, strict=True)), share.targets, share.positions, os.getpid())


def plan_of(once: bool = False) -> Plan:
    cuts = {name: EveryFive(table) for name, table in TABLES.items()}
    return Plan(TABLES, CONFIG, cuts, once)


def loader_of(
    rank: int = 0,
    world: int = 1,
    batch_rows: int = 1,
    workers: int = 0,
    once: bool = False,
    stores: list[Numbered] | None = None,
) -> PlannedLoader[Got]:
    plan = plan_of(once)
    batches = PlannedBatches(stores or [Numbered(name) for name in TABLES], collated)
    split = Split(batch_rows=batch_rows, rank=rank, world=world)
    return PlannedLoader(plan, batches, split, plan.length() if once else STEPS, workers)


@cache
def expected(once: bool = False) -> list[tuple[tuple[int, tuple[int, ...]], ...]]:
    """Rows step by step, straight from the plan and the stores."""
    stores = [Numbered(name) for name in TABLES]
    plan = plan_of(once)
    return [
        tuple(
            (
                step.number * CONFIG.global_rows + number,
                tuple(
                    n for p in row for n in stores[p.source][p.document].text_ids[p.start : p.stop].tolist()
                ),
            )
            for number, row in enumerate(pieces_in(step))
        )
        for step, _ in islice(plan.steps(), plan.length() if once else STEPS)
    ]


def by_step(ranks: list[list[Got]]) -> list[tuple[tuple[int, tuple[int, ...]], ...]]:
    """What all ranks got, step by step, each row at the place that its number names."""
    counts = {len(batches) for batches in ranks}
    assert len(counts) == 1, f"ranks have different numbers of batches: {counts}"
    rows = [row for batches in zip(*ranks, strict=True) for got in batches for row in got.rows]
    size = CONFIG.global_rows
    steps = [rows[start : start + size] for start in range(0, len(rows), size)]
    return [tuple(sorted(step, key=lambda row: row[0])) for step in steps]


SPLITS = [(1, 4), (1, 2), (1, 1), (2, 2), (2, 1), (4, 1)]
"""Ranks, and rows of a batch."""


@pytest.mark.parametrize(("world", "batch_rows"), SPLITS)
def test_ranks_and_accumulated_batches_share_the_plan_s_steps(world: int, batch_rows: int) -> None:
    """Each row goes to one batch of one rank, and all know what the whole step holds."""
    ranks = [list(loader_of(rank, world, batch_rows)) for rank in range(world)]
    assert by_step(ranks) == expected()
    steps = [step for step, _ in islice(plan_of().steps(), STEPS)]
    for batches in ranks:
        assert len(batches) == len(loader_of(0, world, batch_rows)) == STEPS * 4 // (world * batch_rows)
        for number, got in enumerate(batches):
            step = steps[number // (len(batches) // STEPS)]
            assert (got.targets, got.positions) == (step.targets, step.positions)
            assert len(got.rows) == batch_rows


@pytest.mark.parametrize(("workers", "world"), [(w, r) for w in (0, 1, 2, 3) for r in (1, 2, 4)])
def test_one_order_for_all_workers_and_ranks(workers: int, world: int) -> None:
    """Batches as they come, never sorted, are those of the main process."""
    found = [list(loader_of(rank, world, workers=workers)) for rank in range(world)]
    alone = [list(loader_of(rank, world)) for rank in range(world)]
    assert [[got.rows for got in batches] for batches in found] == [
        [got.rows for got in batches] for batches in alone
    ]
    assert by_step(found) == expected()
    processes = {got.process for batches in found for got in batches}
    assert (os.getpid() in processes) == (workers == 0)
    assert len(processes) == max(1, workers) * (world if workers else 1)


def resumed(state: dict[str, Any], world: int, workers: int, batch_rows: int) -> list[list[Got]]:
    found = []
    for rank in range(world):
        loader = loader_of(rank, world, batch_rows, workers)
        loader.load_state_dict(state)
        assert {**loader.state_dict(), "batches_per_step": 0} == {**state, "batches_per_step": 0}
        found.append(list(loader))
        assert loader.state_dict()["step"] == STEPS
    return found


def test_stopped_at_every_step_it_goes_on_with_other_workers_and_ranks() -> None:
    """Inside windows and around the change of weights at step 5: nothing lost, nothing twice, equal counters."""
    end = loader_of()
    list(end)
    inside = 0
    for stop in range(STEPS + 1):
        world, batch_rows = SPLITS[stop % len(SPLITS)]
        before, states = [], []
        for rank in range(world):
            loader = loader_of(rank, world, batch_rows, workers=2 if stop in (3, 6) else 0)
            before.append(list(islice(loader, stop * loader.batches_per_step)))
            states.append(json.loads(json.dumps(loader.state_dict())))
        assert all(state == states[0] for state in states), "equal on all ranks"
        assert len(json.dumps(states[0])) < 1024
        assert states[0]["step"] == stop and states[0]["batch"] == 0
        inside += states[0]["row"] > 0
        then_world, then_rows = SPLITS[(stop + 2) % len(SPLITS)]
        after = resumed(states[0], then_world, (0, 1, 0, 3, 0)[stop % 5], then_rows)
        assert by_step(before) + by_step(after) == expected(), stop
        last = loader_of()
        last.load_state_dict(states[0])
        list(last)
        assert last.state_dict() == end.state_dict(), "mixture counters are equal"
    assert inside > 2


@pytest.mark.parametrize("workers", [0, 2])
def test_stopped_between_accumulated_batches(workers: int) -> None:
    whole = [got.rows for got in loader_of(world=2, batch_rows=1)]
    for stop in (1, 7, 11):
        loader = loader_of(world=2, batch_rows=1, workers=workers)
        before = [got.rows for got in islice(loader, stop)]
        state = loader.state_dict()
        assert (state["step"], state["batch"]) == (stop // 2, 1)
        again = loader_of(world=2, batch_rows=1)
        again.load_state_dict(state)
        assert before + [got.rows for got in again] == whole
    other = loader_of(world=1, batch_rows=1)
    message = r"saved inside step 5, after 1 of 2 batches; a step has 4 now\. Resume with as many ranks"
    with pytest.raises(ValueError, match=message):
        other.load_state_dict(state)


def test_what_was_sent_ahead_is_not_counted() -> None:
    loader = loader_of(workers=3)
    iterator = iter(loader)
    for number in range(9):
        assert (loader.state_dict()["step"], loader.state_dict()["batch"]) == divmod(number, 4)
        next(iterator)


def test_every_iteration_begins_at_the_first_batch() -> None:
    """Lightning never finishes an iterator whose length it knows, and its sanity check stops after two batches."""
    loader = loader_of()
    whole = [got.rows for got in loader]
    for stop in (2, len(whole), 3):
        assert [got.rows for got in islice(loader, stop)] == whole[:stop]
    other = loader_of()
    list(islice(other, 20))
    loader.load_state_dict(other.state_dict())
    assert [got.rows for got in loader] == whole[20:]
    assert [got.rows for got in loader] == whole


def test_workers_hold_no_plan() -> None:
    """What is sent to them are the stores and the pieces of each batch."""
    assert set(vars(loader_of().batches)) == {"stores", "collate"}


def test_iterating_draws_no_random_numbers() -> None:
    before = torch.get_rng_state()
    list(loader_of())
    assert torch.equal(torch.get_rng_state(), before)


# ------------------------------------------------------------------ damage


def with_damage(workers: int = 0, rank: int = 0, world: int = 1) -> tuple[list[Got], list[Numbered]]:
    stores = [Numbered("web", bad=frozenset({57, 58})), Numbered("books")]
    loader = loader_of(rank, world, workers=workers, stores=stores)
    batches = list(loader)
    assert {name: count["damaged"] for name, count in loader.counts().items()} == {
        "web": stores[0].damaged,
        "books": 0,
    }
    return batches, stores


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_documents_are_holes_in_their_place(workers: int) -> None:
    """No other document moves, and what is said of the whole step is what was planned."""
    found, stores = with_damage(workers)
    bad = {n for d in (57, 58) for n in range(100 * d, 100 * d + int(TABLES["web"].lengths[d]))}
    holes = 0
    for got, sound in zip(found, loader_of(), strict=True):
        assert (got.targets, got.positions) == (sound.targets, sound.positions)
        for (number, row), (planned, content) in zip(got.rows, sound.rows, strict=True):
            assert number == planned and len(row) == len(content)
            assert all(a == b or (a == -1 and b in bad) for a, b in zip(row, content, strict=True))
            holes += row.count(-1)
    assert holes > 0
    errors = {(number, error) for number, error in stores[0].noted if error}
    assert errors == {(57, "57 is bad"), (58, "58 is bad")}
    assert stores[0].damaged == 2 and stores[1].damaged == 0


def test_documents_are_noted_in_the_order_of_the_plan_whatever_the_workers() -> None:
    alone = [store.noted for store in with_damage()[1]]
    assert [store.noted for store in with_damage(workers=2)[1]] == alone
    steps = [step for step, _ in islice(plan_of().steps(), STEPS)]
    assert sum(map(len, alone)) == sum(len(row) for step in steps for row in step.rows)


def test_every_rank_has_as_many_batches_wherever_the_damage_is() -> None:
    ranks = [with_damage(rank=rank, world=2) for rank in range(2)]
    assert len(ranks[0][0]) == len(ranks[1][0])
    assert [stores[0].damaged for _, stores in ranks] == [2, 0]


def test_a_piece_beyond_its_document_is_a_hole() -> None:
    """The document is not the one that was measured."""
    stores = [Numbered("web"), Numbered("books")]
    stores[1].lengths = stores[1].lengths // 2
    list(loader_of(stores=stores))
    assert {error for _, error in stores[1].noted if error} >= {"0: 7 positions, the plan has 14"}


def test_what_comes_is_told_ahead() -> None:
    """The documents of the steps to come, in the order in which they are read, this rank's alone."""
    stores = [Numbered("web", ahead=2), Numbered("books")]
    list(loader_of(rank=1, world=2, stores=stores))
    steps = [step for step, _ in islice(plan_of().steps(), STEPS)]
    split = Split(batch_rows=1, rank=1, world=2)
    mine = [
        [piece.document for share in split.shares(step) for piece in share.pieces() if piece.source == 0]
        for step in steps
    ]
    assert stores[0].told == [[n for step in mine[at : at + 3] for n in step] for at in range(STEPS - 2)]
    assert stores[1].told == []


# ------------------------------------------------------------------ counters


def test_counts_are_those_of_the_yielded_steps() -> None:
    """Exact at every step, also inside a window; 20 of 60 documents are a third of an epoch."""
    loader = loader_of(batch_rows=4, workers=1)
    had = {name: [0, 0] for name in TABLES}
    steps = [step for step, _ in islice(plan_of().steps(), STEPS)]
    for step, _ in zip(steps, loader, strict=True):
        for row in pieces_in(step):
            for piece in row:
                name = list(TABLES)[piece.source]
                had[name][0] += piece.start == 0
                had[name][1] += piece.stop - piece.start
        counts = loader.counts()
        for name, (documents, positions) in had.items():
            found = counts[name]
            assert (found["documents"], found["positions"]) == (documents, positions), step.number
            assert found["epochs"] == documents / len(TABLES[name].lengths)


# ------------------------------------------------------------------ validation


@pytest.mark.parametrize(("world", "batch_rows"), SPLITS)
def test_validation_sees_each_document_once_on_any_number_of_ranks(world: int, batch_rows: int) -> None:
    """Rows without documents fill up the last step, so all ranks have as many batches."""
    ranks = [list(loader_of(rank, world, batch_rows, once=True)) for rank in range(world)]
    assert by_step(ranks) == expected(once=True)
    contents = [n for batches in ranks for got in batches for _, row in got.rows for n in row]
    all_positions = [
        100 * n + at
        for table in TABLES.values()
        for n, length in enumerate(table.lengths.tolist())
        for at in range(length)
    ]
    assert sorted(contents) == sorted(all_positions)


def test_a_batch_without_documents_has_an_empty_sequence() -> None:
    """Which knows the widths of patches and codes."""
    seen: list[list[list[Sequence]]] = []
    batches: PlannedBatches[None] = PlannedBatches([Numbered("web")], lambda rows, share: seen.append(rows))
    config = PlanConfig(row_length=400, global_rows=4, window=100)
    plan = Plan({"web": random_table(3, 0, 5, 9)}, config, once=True)
    assert plan.length() == 1
    for rank in range(4):
        list(PlannedLoader(plan, batches, Split(batch_rows=1, rank=rank, world=4), 1))
    lengths = sorted([[len(sequence) for sequence in row] for row in rows] for rows in seen)
    assert lengths[:3] == [[[0]]] * 3 and len(lengths[3][0]) == 3
    empty = next(rows[0][0] for rows in seen if len(rows[0]) == 1)
    assert (empty.patches.shape, empty.codes.shape) == ((0, 4), (0, 2))


def test_rows_that_cannot_be_split_are_an_error() -> None:
    message = r"data\.plan\.global_rows 4 must be a multiple of data\.batch_rows 1 x 3 ranks"
    with pytest.raises(ValueError, match=message):
        loader_of(world=3)


def test_a_state_of_another_plan_is_an_error() -> None:
    loader = loader_of()
    loader.plan.config = replace(CONFIG, seed=6)
    with pytest.raises(ValueError, match=r"data\.plan\.seed was 5, is 6"):
        loader.load_state_dict(loader_of().state_dict())


@pytest.mark.parametrize("ahead", [2, STEPS, 10 * STEPS])
def test_stores_are_told_of_all_documents_even_of_a_short_run(ahead: int) -> None:
    stores = [Numbered(name, ahead=ahead) for name in TABLES]
    list(loader_of(stores=stores))
    for store in stores:
        told = {number for documents in store.told for number in documents}
        assert told == {number for number, _ in store.noted}
