"""The loader: the plan's steps whatever the ranks and workers, and on from any step."""

from __future__ import annotations

from functools import cache
from itertools import islice
from pathlib import Path

import pytest
import torch

from omni.datamodules.shards.writer import write_shards
from omni.datamodules.stream.loader import PlannedBatches, PlannedLoader
from omni.datamodules.stream.plan import Plan, PlanConfig
from omni.datamodules.stream.store import SequenceStore
from omni.layout import Layout
from omni.sequence import OmniBatch
from tests.tiny import tiny_documents, tiny_tokenizers

CONFIG = PlanConfig(row_length=100, global_rows=4, window=12, seed=5)
BATCHES = 7
"""Batches of the whole run: with 24 documents in about 6 rows an epoch, they cover several epochs."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    write_shards(tiny_documents(24), folder, per_shard=10)
    return folder


@cache
def store(folder: Path, cached: bool) -> SequenceStore:
    return SequenceStore(folder, Layout(tiny_tokenizers()), cached, max_damaged=0.0)


def batches_of(
    folder: Path, batch_rows: int = 4, rank: int = 0, world: int = 1, cached: bool = True
) -> PlannedBatches:
    documents = store(folder, cached)
    return PlannedBatches(documents, Plan(documents.table, CONFIG), batch_rows, rank, world)


def loader_of(folder: Path, workers: int = 0, cached: bool = True) -> PlannedLoader:
    return PlannedLoader(batches_of(folder, cached=cached), BATCHES, workers)


def assert_same(first: list[OmniBatch], second: list[OmniBatch]) -> None:
    assert [batch.keys for batch in first] == [batch.keys for batch in second]
    for one, other in zip(first, second, strict=True):
        assert (one.lengths, one.step_positions) == (other.lengths, other.step_positions)
        for name in ("modality", "text_ids", "coords", "loss", "patches", "codes", "targets"):
            assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_batches_are_the_plan_s_steps(folder: Path) -> None:
    plan = Plan(store(folder, True).table, CONFIG)
    found = list(loader_of(folder))
    assert len(found) == len(loader_of(folder)) == BATCHES
    for number, batch in enumerate(found):
        step = plan.step(number)
        keys = [f"{document:06d}" for row in step.rows for document in row]
        assert [key for key in batch.keys if key] == keys
        assert batch.modality.shape == (4, 100)
        assert sum(batch.lengths) == 400
        assert batch.targets.tolist() == list(step.targets)
        assert batch.step_positions == step.positions == int(batch.real.sum())


@pytest.mark.parametrize(("world", "batch_rows"), [(1, 4), (1, 2), (1, 1), (2, 2), (2, 1), (4, 1)])
def test_ranks_and_accumulated_batches_share_one_global_step(
    folder: Path, world: int, batch_rows: int
) -> None:
    """Each row of a step goes to one rank and one batch, and all know the targets of the whole step."""
    ranks = [batches_of(folder, batch_rows, rank, world) for rank in range(world)]
    per_step = ranks[0].batches_per_step
    assert per_step * batch_rows * world == CONFIG.global_rows
    for number in range(3):
        step = Plan(store(folder, True).table, CONFIG).step(number)
        shares = [rank[number * per_step + part] for part in range(per_step) for rank in ranks]
        keys = [key for share in shares for key in share.keys if key]
        assert keys == [f"{document:06d}" for row in step.rows for document in row]
        assert all(share.targets.tolist() == list(step.targets) for share in shares)
        assert all(share.step_positions == step.positions for share in shares)
        assert sum(int(share.real.sum()) for share in shares) == step.positions


def test_rows_that_cannot_be_split_are_an_error(folder: Path) -> None:
    with pytest.raises(
        ValueError, match=r"data\.plan\.global_rows 4 must be a multiple of data\.batch_rows 1 x 3 ranks"
    ):
        batches_of(folder, batch_rows=1, world=3)


@pytest.mark.parametrize("cached", [False, True])
def test_workers_change_nothing(folder: Path, cached: bool) -> None:
    assert_same(list(loader_of(folder, workers=2, cached=cached)), list(loader_of(folder)))


@pytest.mark.parametrize("workers", [0, 2])
def test_resumed_at_any_batch_it_goes_on_as_if_never_stopped(folder: Path, workers: int) -> None:
    whole = list(loader_of(folder))
    for stop in range(BATCHES + 1):
        first = loader_of(folder, workers if stop == 3 else 0)
        before = list(islice(first, stop))
        state = first.state_dict()
        assert state["taken"] == stop
        second = loader_of(folder, workers)
        second.load_state_dict(state)
        assert second.state_dict() == state
        after = list(second)
        assert_same(before + after, whole)
        assert second.state_dict()["taken"] == BATCHES


def test_every_iteration_begins_at_the_first_batch(folder: Path) -> None:
    """Lightning never finishes an iterator whose length it knows, and its sanity check stops after two batches."""
    loader = loader_of(folder)
    whole = list(loader)
    for stop in (2, BATCHES, 3):
        assert_same(list(islice(loader, stop)), whole[:stop])
    loader.load_state_dict({"taken": 5})
    assert_same(list(loader), whole[5:])
    assert_same(list(loader), whole)


def test_iterating_draws_no_random_numbers(folder: Path) -> None:
    before = torch.get_rng_state()
    list(loader_of(folder))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_state_of_other_batches_a_step_is_refused(folder: Path) -> None:
    state = PlannedLoader(batches_of(folder, batch_rows=2), BATCHES, 0).state_dict()
    with pytest.raises(ValueError, match="2 batches a step on each rank, but now there are 1"):
        loader_of(folder).load_state_dict(state)
