"""Which rank is named as slow, and when."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import lightning
import pytest

from omni.callbacks.stragglers import Stragglers, Times
from omni.datamodules.stream.loader import PlannedLoader
from tests.callbacks.watched_run import Kept
from tests.tiny_run import build, fit, write_corpus

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")

EVEN = [Times(f"node{n}", 1.0, 0.3, 0.01) for n in range(4)]


def test_ranks_alike_are_none() -> None:
    assert Stragglers().complaints(EVEN) == {}
    assert Stragglers().complaints([*EVEN, Times("node4", 1.0, 0.38, 0.09)]) == {}


def test_a_rank_that_computes_longer_and_one_that_waits_for_data_are_named() -> None:
    ranks = [*EVEN, Times("node4", 1.0, 0.6, 0.01), Times("node5", 1.0, 0.3, 0.25)]
    assert Stragglers().complaints(ranks) == {
        "4 forward": "rank 4 (node4) takes 0.6 s for the forward passes of a step, the median rank 0.3 s",
        "5 data": "rank 5 (node5) waits 0.25 s of 1 s a step for data",
    }


def test_each_is_told_once_until_it_has_recovered() -> None:
    stragglers, slow = Stragglers(), [*EVEN, Times("node4", 1.0, 0.6, 0.01)]
    kept = Kept()
    trainer = Mock(lightning.Trainer, loggers=[kept], global_step=100)
    told: list[int] = []
    for ranks in (EVEN, slow, slow, EVEN, slow):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            stragglers.report(trainer, ranks)
        told.append(len(caught))
    assert told == [0, 1, 0, 0, 1]
    assert kept.steps[99]["ranks/forward_seconds_slowest"] == 0.6
    assert kept.steps[99]["ranks/forward_seconds"] == 0.3


def test_times_of_a_run(tmp_path: Path) -> None:
    corpus, kept = write_corpus(tmp_path), Kept()
    began = time.perf_counter()
    fit(corpus, tmp_path / "out", callbacks=[Stragglers(3)], logger=kept)
    whole = time.perf_counter() - began
    assert sorted(step for step, found in kept.steps.items() if "ranks/step_seconds" in found) == [2, 5]
    times = {name: value for name, value in kept.steps[5].items() if name.startswith("ranks/")}
    assert 0 < times["ranks/data_seconds"] < times["ranks/step_seconds"] < whole / 3
    assert 0 < times["ranks/forward_seconds"] < times["ranks/step_seconds"]


def test_the_loader_counts_what_it_is_waited_for(tmp_path: Path) -> None:
    """And not what is done with the batches."""
    data = build(write_corpus(tmp_path), batch_rows=4)[1]
    data.setup("fit")
    whole = data.train_dataloader()
    loader = PlannedLoader(whole.plan, whole.batches, whole.split, steps=2)
    assert loader.waited == 0.0
    began = time.perf_counter()
    for _ in loader:
        time.sleep(0.3)
    assert 0 < loader.waited < time.perf_counter() - began - 0.6


@pytest.mark.parametrize("settings", [{"slower": 1.0}, {"waiting": 0.0}, {"waiting": 1.5}])
def test_bad_settings_are_named(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"stragglers\.slower must be above 1 and stragglers\.waiting in"):
        Stragglers(**settings)
