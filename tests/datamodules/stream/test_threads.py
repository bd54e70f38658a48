"""Fetching in threads: the order of the items, whatever each takes; errors in their place; nothing left behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from itertools import islice

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from omni.datamodules.stream.loader import PlannedLoader
from omni.datamodules.stream.threads import fetch_in_threads
from tests.datamodules.stream.test_loader import TABLES, Got, Numbered, loader_of

pytestmark = pytest.mark.timeout(60)


def own_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("omni-data")]


@given(st.lists(st.floats(0, 0.003), max_size=20), st.integers(1, 4), st.integers(1, 3))
@settings(deadline=None, max_examples=25)
def test_results_come_in_the_order_of_the_items(waits: list[float], threads: int, ahead: int) -> None:
    def fetch(item: tuple[int, float]) -> int:
        time.sleep(item[1])
        return item[0]

    found = list(fetch_in_threads(fetch, list(enumerate(waits)), threads, ahead))
    assert found == list(range(len(waits)))
    assert not own_threads()


def test_items_are_drawn_by_the_caller_s_thread_and_only_so_far_ahead() -> None:
    drawn: list[tuple[int, str]] = []

    def items() -> Iterator[int]:
        for number in range(10):
            drawn.append((number, threading.current_thread().name))
            yield number

    results = fetch_in_threads(lambda number: number, items(), threads=2, ahead=2)
    assert drawn == []
    assert next(results) == 0
    assert drawn == [(number, threading.current_thread().name) for number in range(4)]
    assert next(results) == 1
    assert len(drawn) == 5


def test_an_error_comes_in_its_place_and_ends_the_threads() -> None:
    def fetch(number: int) -> int:
        if number == 3:
            raise ValueError("the third is damaged")
        return number

    results = fetch_in_threads(fetch, range(10), threads=2)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="the third is damaged"):
        next(results)
    assert not own_threads()


def test_an_error_of_the_items_ends_the_threads() -> None:
    def items() -> Iterator[int]:
        yield 0
        raise ValueError("no plan")

    with pytest.raises(ValueError, match="no plan"):
        list(fetch_in_threads(lambda number: number, items(), threads=2))
    assert not own_threads()


def test_a_dropped_iterator_ends_its_threads_and_forgets_the_items_that_wait() -> None:
    fetched: list[int] = []

    def fetch(number: int) -> int:
        time.sleep(0.01)
        fetched.append(number)
        return number

    results = fetch_in_threads(fetch, range(100), threads=1, ahead=8)
    assert next(results) == 0
    del results  # as Lightning leaves the iterator of an unfinished epoch
    assert not own_threads()
    assert len(fetched) < 8


def test_torch_uses_one_core_in_each_thread_and_keeps_its_own_in_the_caller_s() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert list(fetch_in_threads(lambda _: torch.get_num_threads(), range(4), threads=2)) == [1] * 4
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def threaded(loader: PlannedLoader[Got]) -> PlannedLoader[Got]:
    loader.workers, loader.worker_kind = 2, "thread"
    return loader


def test_the_loader_s_order_is_that_of_one_process_and_it_resumes_at_every_batch() -> None:
    alone = list(loader_of())
    found = list(threaded(loader_of()))
    assert [got.rows for got in found] == [got.rows for got in alone]
    assert {got.process for got in found} == {os.getpid()}
    for stop in range(len(alone)):
        loader, behind = threaded(loader_of()), threaded(loader_of())
        assert [got.rows for got in islice(loader, stop)] == [got.rows for got in alone[:stop]]
        behind.load_state_dict(loader.state_dict())
        assert [got.rows for got in behind] == [got.rows for got in alone[stop:]]


def test_damage_that_threads_meet_is_noted_as_one_process_notes_it() -> None:
    found = []
    for with_threads in (False, True):
        stores = [Numbered(name, bad=frozenset(range(0, 60, 3))) for name in TABLES]
        loader = loader_of(stores=stores)
        rows = [got.rows for got in (threaded(loader) if with_threads else loader)]
        found.append((rows, [store.noted for store in stores]))
        assert all(store.damaged for store in stores)
    assert found[0] == found[1]
