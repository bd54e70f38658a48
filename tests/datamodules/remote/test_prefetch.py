"""Fetching ahead: in the order of the plan, within half the budget, and never in the way of those that read."""

from __future__ import annotations

import multiprocessing
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from omni.datamodules.remote.cache import ShardCache
from omni.datamodules.remote.errors import RemoteError
from omni.datamodules.remote.folder import RemoteFile, RetryConfig
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


def sized(make: Make, store: Store, **options: Any) -> ShardCache:
    """A cache that knows the shards' sizes, as indexes tell them; the plain server's listing doesn't."""
    cache = make(store, **options)
    cache.expect(dict.fromkeys(NAMES, RemoteFile(3000)))
    return cache


def idle(prefetcher: Prefetcher) -> bool:
    return prefetcher._thread is None


def kept(cache: ShardCache) -> list[str]:
    return sorted(path.name for path in cache.folder.glob("*.tar"))


def use(cache: ShardCache, number: int) -> None:
    with cache.lease(NAMES[number]) as path:
        assert path.read_bytes() == content(number)


def test_shards_come_in_the_order_of_their_use(store: Store, make: Make) -> None:
    cache = sized(make, store)
    order = [3, 1, 2]
    Prefetcher(cache).coming([NAMES[number] for number in (3, 1, 3, 2, 1)])
    wait_for(lambda: len(kept(cache)) == 3)
    read = [name for method, name in store.requests if method == "GET" and name.endswith(".tar")]
    assert list(dict.fromkeys(read)) == [NAMES[number] for number in order]
    for number in order:
        use(cache, number)
    assert (cache.counts().hits, cache.counts().downloaded_bytes) == (3, 9000)


@pytest.mark.parametrize(("budget", "fetched"), [(3000, 0), (6000, 1), (12_500, 2)])
def test_half_the_budget_is_left_to_what_is_in_use(
    budget: int, fetched: int, store: Store, make: Make
) -> None:
    cache = sized(make, store, budget=budget)
    prefetcher = Prefetcher(cache)
    prefetcher.coming(NAMES)
    wait_for(lambda: len(kept(cache)) == fetched and idle(prefetcher))
    assert kept(cache) == NAMES[:fetched]


def test_a_shard_of_unknown_size_is_not_fetched_ahead(store: Store, make: Make) -> None:
    cache = make(store)
    Prefetcher(cache).coming(NAMES)
    assert kept(cache) == []


def test_the_latest_call_counts(store: Store, make: Make) -> None:
    cache = sized(make, store)
    prefetcher, answer = Prefetcher(cache), threading.Event()
    store.fail(NAMES[0], answer.wait)
    prefetcher.coming(NAMES[:3])
    wait_for(lambda: ("GET", NAMES[0]) in store.requests)
    prefetcher.coming([NAMES[3]])
    answer.set()
    wait_for(lambda: idle(prefetcher))
    assert kept(cache) == [NAMES[0], NAMES[3]]


def test_a_plan_runs_through_a_cache_of_two_shards(store: Store, make: Make) -> None:
    """A reader that follows the plan, with calls ahead of each use; nothing is fetched more often than it must be."""
    cache = sized(make, store, budget=6500, patience=300.0)
    prefetcher, plan = Prefetcher(cache), [0, 1, 2, 3] * 3
    for at, number in enumerate(plan):
        use(cache, number)
        prefetcher.coming([NAMES[coming] for coming in plan[at + 1 : at + 3]])
        wait_for(lambda: idle(prefetcher))
    assert cache.counts().downloaded_bytes == 3000 * len(plan)
    assert cache.counts().hits >= len(plan) - 1  # all but the first had been fetched ahead


def test_a_failure_is_left_to_those_that_read(store: Store, make: Make) -> None:
    cache = sized(make, store)
    prefetcher = Prefetcher(cache)
    store.fail(NAMES[0], *[403] * 2)
    prefetcher.coming(NAMES[:2])
    wait_for(lambda: idle(prefetcher))
    assert kept(cache) == [NAMES[1]]
    with pytest.raises(RemoteError, match=r"shard-0\.tar: access denied"):
        use(cache, 0)
    use(cache, 0)


def test_closing_calls_off_what_is_under_way(store: Store, make: Make) -> None:
    cache = sized(
        make, store, budget=12_000, retry=RetryConfig(attempts=9, first_wait=60.0, longest_wait=60.0)
    )
    store.fail(NAMES[1], *[503] * 9)
    prefetcher = Prefetcher(cache)
    prefetcher.coming(NAMES)
    wait_for(lambda: ("GET", NAMES[1]) in store.requests)
    start = time.monotonic()
    prefetcher.close()
    prefetcher.close()
    assert time.monotonic() - start < 30  # not the wait between two tries
    wait_for(lambda: idle(prefetcher))
    prefetcher.coming(NAMES)
    assert idle(prefetcher)
    store.faults.clear()
    use(cache, 1)


def test_a_forked_process_fetches_nothing_ahead(store: Store, make: Make) -> None:
    prefetcher = Prefetcher(sized(make, store))
    process = multiprocessing.get_context("fork").Process(target=prefetcher.coming, args=(NAMES,))
    process.start()
    process.join(300)
    assert (process.exitcode, kept(prefetcher.cache)) == (0, [])
    again = pickle.loads(pickle.dumps(prefetcher))  # where it is sent to, it works
    again.coming(NAMES[:1])
    wait_for(lambda: kept(again.cache) == NAMES[:1])
