"""One order through the data module and real shards, whatever the workers and ranks, and on from every step."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import pytest

from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.sources import SourceConfig
from omni.datamodules.stream.loader import PlannedLoader, Split
from omni.datamodules.stream.plan_config import PlanConfig
from omni.datamodules.stream.weights import MixtureConfig
from omni.sequence import OmniBatch
from tests.tiny import tiny_documents, tiny_tokenizers
from tests.tiny_run import write_measured

STEPS = 10
PLAN = PlanConfig(
    row_length=60,
    global_rows=4,
    window=17,
    run=4,
    seed=5,
    too_long="split",
    mixture=MixtureConfig(weights={0: {"web": 0.7, "books": 0.3}, 5: {"web": 0.3, "books": 0.7}}),
)
SPLITS = [(1, 4), (1, 2), (1, 1), (2, 2), (2, 1), (4, 1)]
"""Ranks, and rows of a batch."""


class Row(NamedTuple):
    """A row as these tests see it."""

    number: int
    keys: tuple[str, ...]
    text_ids: tuple[int, ...]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> OmniDataModule:
    """Sources of 40 and of 12 documents: ten steps are several epochs of the second."""
    folder = tmp_path_factory.mktemp("order")
    tiny_tokenizers().save(folder / "tokenizers")
    for name, count in (("web", 40), ("books", 12)):
        write_measured(tiny_documents(count, seed=count), folder / name, folder / "tokenizers", per_shard=7)
    sources = {name: SourceConfig(folder=str(folder / name)) for name in ("web", "books")}
    made = OmniDataModule(str(folder / "tokenizers"), sources, plan=PLAN, cache=True)
    made.setup("fit")
    return made


def loader_of(
    data: OmniDataModule, rank: int, world: int, rows: int, workers: int = 0
) -> PlannedLoader[OmniBatch]:
    whole = data.train_dataloader()
    split = Split(batch_rows=rows, rank=rank, world=world)
    return PlannedLoader(whole.plan, whole.batches, split, STEPS, workers)


def rows_of(batch: OmniBatch) -> list[Row]:
    """The batch's rows; documents are cut apart by their lengths."""
    keys: list[list[str]] = [[] for _ in batch.row_numbers]
    at = 0
    for length, key in zip(batch.lengths, batch.keys, strict=True):
        keys[at // PLAN.row_length].append(key)
        at += length
    return [
        Row(number, tuple(named), tuple(ids.tolist()))
        for number, named, ids in zip(batch.row_numbers, keys, batch.text_ids, strict=True)
    ]


def by_step(ranks: list[list[OmniBatch]]) -> list[list[Row]]:
    """What all ranks got, step by step, each row at the place that its number names."""
    rows = [row for batches in zip(*ranks, strict=True) for batch in batches for row in rows_of(batch)]
    steps = [rows[start : start + PLAN.global_rows] for start in range(0, len(rows), PLAN.global_rows)]
    return [sorted(step) for step in steps]


@pytest.fixture(scope="module")
def expected(data: OmniDataModule) -> list[list[Row]]:
    found = by_step([list(loader_of(data, 0, 1, 4))])
    assert [row.number for step in found for row in step] == list(range(STEPS * PLAN.global_rows))
    return found


@pytest.mark.parametrize(("workers", "world"), [(w, r) for w in (0, 1, 2, 3) for r in (1, 2, 4)])
def test_one_order_for_all_workers_and_ranks(
    data: OmniDataModule, expected: list[list[Row]], workers: int, world: int
) -> None:
    """Batches as they come, never sorted, are those of the main process; together they are the plan's steps."""
    found = [list(loader_of(data, rank, world, 1, workers)) for rank in range(world)]
    if workers:
        alone = [list(loader_of(data, rank, world, 1)) for rank in range(world)]
        assert [list(map(rows_of, batches)) for batches in found] == [
            list(map(rows_of, batches)) for batches in alone
        ]
    assert by_step(found) == expected


def test_stopped_at_every_step_it_goes_on_with_other_workers_and_ranks(
    data: OmniDataModule, expected: list[list[Row]]
) -> None:
    """Inside windows and around the change of weights: nothing lost, nothing twice, the counters equal."""
    end = loader_of(data, 0, 1, 4)
    list(end)
    for stop in range(STEPS + 1):
        world, rows = SPLITS[stop % len(SPLITS)]
        before, states = [], []
        for rank in range(world):
            loader = loader_of(data, rank, world, rows, workers=2 if stop == 3 else 0)
            before.append(list(islice(loader, stop * loader.batches_per_step)))
            states.append(json.loads(json.dumps(loader.state_dict())))
        assert all(state == states[0] for state in states), "equal on all ranks"
        assert len(json.dumps(states[0])) < 1024
        world, rows = SPLITS[(stop + 2) % len(SPLITS)]
        after = []
        for rank in range(world):
            loader = loader_of(data, rank, world, rows, workers=3 if stop == 5 else 0)
            loader.load_state_dict(states[0])
            after.append(list(loader))
            assert loader.counts() == end.counts()
            assert loader.state_dict()["counters"] == end.state_dict()["counters"]
        assert by_step(before) + by_step(after) == expected, stop


def test_the_state_of_other_shards_is_refused(data: OmniDataModule, tmp_path: Path) -> None:
    write_measured(tiny_documents(40, seed=3), tmp_path / "web", Path(data.tokenizers_folder))
    books = data.sources["train"]["books"]
    sources = {"web": SourceConfig(folder=str(tmp_path / "web")), "books": books}
    other = OmniDataModule(data.tokenizers_folder, sources, plan=PLAN)
    other.setup("fit")
    loader = loader_of(other, 0, 1, 4)
    with pytest.raises(
        ValueError, match=r"belongs to another plan: data of web was '\w+', is '\w+'\. Resume"
    ):
        loader.load_state_dict(loader_of(data, 0, 1, 4).state_dict())
