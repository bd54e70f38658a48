"""The prefetcher: ahead of the plan, within the budget; its errors come out where the shard is needed."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from omni.datamodules.remote.errors import RemoteError
from omni.datamodules.remote.folder import RetryConfig
from omni.datamodules.remote.prefetch import Prefetcher
from tests.datamodules.remote.conftest import Make, content, fill
from tests.datamodules.remote.stores import Store, http_store

NAMES = [f"shard-{number}.tar" for number in range(4)]


@pytest.fixture
def store() -> Iterator[Store]:
    with http_store() as store:
        fill(store)
        yield store


def wait_for(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 300
    while not true():
        assert time.monotonic() < until, "waited 300 s in vain"
        time.sleep(0.01)


def use(prefetcher: Prefetcher, number: int) -> None:
    with prefetcher.lease(NAMES[number]) as path:
        assert path.read_bytes() == content(number)


def test_the_next_shards_come_ahead_and_no_more(store: Store, make: Make) -> None:
    cache = make(store)
    with Prefetcher(cache, NAMES, ahead=2) as prefetcher:
        wait_for(lambda: cache.counts().misses == 2)
        time.sleep(0.1)
        assert [store.reads(name) for name in NAMES] == [3, 3, 0, 0]
        use(prefetcher, 0)
        wait_for(lambda: cache.counts().misses == 3)
        assert [store.reads(name) for name in NAMES] == [3, 3, 3, 0]
        for number in (1, 2, 3):
            use(prefetcher, number)
        wait_for(lambda: cache.counts().hits + cache.counts().misses >= 8)
    assert cache.counts().downloaded_bytes == 12_000


def test_what_is_fetched_ahead_stays_within_the_budget(store: Store, make: Make) -> None:
    cache = make(store, budget=7000, patience=300.0)
    plan = [0, 1, 2, 3] * 3
    with Prefetcher(cache, (NAMES[number] for number in plan), ahead=3) as prefetcher:
        for number in plan:
            use(prefetcher, number)
            assert len(list(cache.folder.glob("*.tar"))) <= 2


def test_a_budget_of_one_shard_does_not_block(store: Store, make: Make) -> None:
    cache = make(store, budget=3000, patience=300.0)
    with Prefetcher(cache, NAMES * 2, ahead=2) as prefetcher:
        for number in [0, 1, 2, 3] * 2:
            use(prefetcher, number)


def test_an_endless_plan_with_repeats_is_followed(store: Store, make: Make) -> None:
    def endless() -> Iterator[str]:
        while True:
            yield from (NAMES[0], NAMES[0], NAMES[1], NAMES[0], NAMES[2])

    cache = make(store)
    with Prefetcher(cache, endless(), ahead=2) as prefetcher:
        for number in [0, 0, 1, 0, 2] * 5:
            use(prefetcher, number)
    assert cache.counts().downloaded_bytes == 9000


def test_a_caller_may_leave_the_plan(store: Store, make: Make) -> None:
    with Prefetcher(make(store), NAMES, ahead=1) as prefetcher:
        for number in (3, 1, 0, 3, 2, 0):
            use(prefetcher, number)


def test_an_error_comes_out_where_the_shard_is_needed(store: Store, make: Make) -> None:
    store.fail(NAMES[1], *[403] * 2)
    with Prefetcher(make(store), NAMES, ahead=2) as prefetcher:
        wait_for(lambda: ("GET", NAMES[1]) in store.requests)
        use(prefetcher, 0)
        with pytest.raises(RemoteError, match=r"shard-1\.tar: access denied"):
            prefetcher.lease(NAMES[1])
        use(prefetcher, 2)
        store.faults.clear()
        use(prefetcher, 1)


def test_a_plan_that_fails_is_an_error(store: Store, make: Make) -> None:
    def plan() -> Iterator[str]:
        yield NAMES[0]
        raise ZeroDivisionError("in the plan")

    with Prefetcher(make(store), plan()) as prefetcher:
        use(prefetcher, 0)
        wait_for(lambda: prefetcher._failed is not None)
        with pytest.raises(ZeroDivisionError, match="in the plan"):
            prefetcher.lease(NAMES[1])


def test_closing_lets_go_of_all_at_once(store: Store, make: Make) -> None:
    cache = make(store, budget=6000, retry=RetryConfig(attempts=9, first_wait=60.0, longest_wait=60.0))
    store.fail(NAMES[1], *[503] * 9)
    prefetcher = Prefetcher(cache, NAMES, ahead=2)
    wait_for(lambda: ("GET", NAMES[1]) in store.requests)
    start = time.monotonic()
    prefetcher.close()
    prefetcher.close()
    assert time.monotonic() - start < 30  # not the wait between two tries
    wait_for(lambda: "shard prefetch" not in {thread.name for thread in threading.enumerate()})
    store.faults.clear()
    with cache.lease(NAMES[2]), cache.lease(NAMES[3]):  # room for two: none is held any more
        pass
    use(prefetcher, 1)  # works on without its thread


def test_a_forked_worker_reads_without_the_thread(store: Store, make: Make) -> None:
    with Prefetcher(make(store), NAMES) as prefetcher:
        wait_for(lambda: prefetcher.cache.counts().misses == 2)
        process = multiprocessing.get_context("fork").Process(target=use, args=(prefetcher, 3))
        process.start()
        process.join(300)
        assert process.exitcode == 0


def test_ahead_is_at_least_one(store: Store, make: Make) -> None:
    with pytest.raises(ValueError, match="ahead must be at least 1 shard, got 0"):
        Prefetcher(make(store), NAMES, ahead=0)
