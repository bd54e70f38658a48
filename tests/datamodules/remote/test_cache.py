"""The cache: what is fetched, kept, evicted and used again, by one process and by several."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import threading
import time
from pathlib import Path
from typing import Any

import fsspec
import pytest

from omni.datamodules.remote.budget import Budget
from omni.datamodules.remote.cache import STATE, ShardCache
from omni.datamodules.remote.counters import Counts
from omni.datamodules.remote.errors import NoRoomError, RemoteError
from omni.datamodules.remote.folder import RemoteFile
from omni.datamodules.remote.lease import Lease
from omni.datamodules.remote.lock import Lock
from tests.datamodules.remote.conftest import Make, content, fill
from tests.datamodules.remote.stores import Store, http_store

NAMES = [f"shard-{number}.tar" for number in range(4)]


def use(cache: ShardCache, *numbers: int) -> None:
    for number in numbers:
        with cache.lease(NAMES[number]) as path:
            assert path.read_bytes() == content(number)


def kept(cache: ShardCache) -> list[str]:
    return sorted(path.name for path in cache.folder.glob("*.tar"))


def test_shards_are_fetched_once(store: Store, make: Make) -> None:
    cache = make(store)
    assert cache.shards == NAMES
    use(cache, 0, 1, 0, 0)
    assert cache.counts() == Counts(downloaded_bytes=6000, hits=2, misses=2)
    assert [store.reads(name) for name in NAMES] == [3, 3, 0, 0]
    assert not list((cache.folder / STATE).glob("*.part"))


def test_indexes_come_without_the_shards(store: Store, make: Make) -> None:
    cache = make(store, budget=0)
    folder = cache.fetch_indexes()
    assert [(folder / f"{name}.idx").read_bytes() for name in NAMES] == [b"index %d" % n for n in range(4)]
    assert kept(cache) == []


def test_a_missing_index_is_named(store: Store, make: Make) -> None:
    store.delete("shard-2.tar.idx")
    with pytest.raises(RemoteError, match=r"/data/shard-2\.tar\.idx: no such file .* check the URL"):
        make(store).fetch_indexes()


def test_the_next_run_uses_what_is_there(store: Store, make: Make) -> None:
    use(make(store), 0)
    again = make(store)
    use(again, 0)
    assert again.counts() == Counts(hits=1)


def test_a_shard_that_changed_since_the_last_run_is_fetched_again(store: Store, make: Make) -> None:
    use(make(store), 0, 1)
    store.put(NAMES[0], content(7))
    again = make(store)
    with again.lease(NAMES[0]) as path:
        assert path.read_bytes() == content(7)
    use(again, 1)
    assert again.counts() == Counts(downloaded_bytes=3000, hits=1, misses=1)


def test_the_least_recently_used_shard_is_evicted(store: Store, make: Make) -> None:
    cache = make(store, budget=7000)
    use(cache, 0, 1, 0)
    assert kept(cache) == [NAMES[0], NAMES[1]]
    use(cache, 2)
    assert kept(cache) == [NAMES[0], NAMES[2]]
    use(cache, 1)
    assert kept(cache) == [NAMES[1], NAMES[2]]
    assert cache.counts() == Counts(downloaded_bytes=12_000, hits=1, misses=4, evictions=2)


def test_room_comes_back_though_a_reader_has_the_file_open(store: Store, make: Make) -> None:
    cache = make(store, budget=3500)
    use(cache, 0)
    with (cache.folder / NAMES[0]).open("rb") as file:
        use(cache, 1)
        now = os.fstat(file.fileno())
    assert (now.st_nlink, now.st_size, now.st_blocks) == (0, 0, 0)


def test_a_shard_in_use_is_never_evicted(store: Store, make: Make) -> None:
    cache = make(store, budget=7000)
    with cache.lease(NAMES[0]) as path, cache.lease(NAMES[0]):
        use(cache, 1, 2, 3, 1)
        assert path.read_bytes() == content(0)
    use(cache, 2, 3)
    assert kept(cache) == [NAMES[2], NAMES[3]]


def test_a_budget_in_use_is_an_error_after_a_wait_and_evicts_nothing(store: Store, make: Make) -> None:
    cache = make(store, budget=6500)
    use(cache, 0)
    with cache.lease(NAMES[1]), cache.lease(NAMES[0]):
        with pytest.raises(
            NoRoomError, match=r"shard-2\.tar: 3000 bytes don't fit .* 6500 .*raise budget_bytes"
        ):
            cache.lease(NAMES[2])
        assert kept(cache) == [NAMES[0], NAMES[1]]
    use(cache, 2)


def test_room_that_another_lease_gives_back_is_waited_for(store: Store, make: Make) -> None:
    cache = make(store, budget=3500, patience=300.0)
    held = cache.lease(NAMES[0])
    threading.Timer(0.2, held.release).start()
    use(cache, 1)
    assert kept(cache) == [NAMES[1]]


def test_a_shard_over_the_budget_is_an_error_at_once(store: Store, make: Make) -> None:
    with pytest.raises(
        RemoteError, match=r"shard-0\.tar: 3000 bytes, more than the cache's budget of 2999; raise"
    ):
        make(store, budget=2999, patience=60.0).lease(NAMES[0])


def test_a_cache_folder_belongs_to_one_url(store: Store, make: Make, tmp_path: Path) -> None:
    make(store)
    with http_store() as other:
        fill(other)
        with pytest.raises(RemoteError, match=r"is the cache of .*; give http://.* another folder"):
            make(other)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "shard-0.tar").write_bytes(b"mine")
    with pytest.raises(RemoteError, match=r"shard-0\.tar: the cache folder holds files of your own"):
        make(store, folder="mine")


@pytest.mark.parametrize("name", ["", "..", "../secret", "a/b.tar", STATE])
def test_only_names_in_the_folder_are_leased(name: str, make: Make) -> None:
    with http_store() as store:
        fill(store)
        with pytest.raises(ValueError, match="expected the name of a file directly in http://"):
            make(store).lease(name)


def test_a_local_folder_is_read_in_place(tmp_path: Path) -> None:
    (tmp_path / NAMES[0]).write_bytes(content(0))
    for url in (str(tmp_path), f"file://{tmp_path}"):
        cache = ShardCache(url, tmp_path / "cache", 0)
        use(cache, 0)
        assert cache.lease(NAMES[0]).path == tmp_path / NAMES[0]
        assert not (tmp_path / "cache").exists()
        with pytest.raises(RemoteError, match=r"shard-1\.tar: no such file; 1 shards are here"):
            cache.lease(NAMES[1])
        cache.expect({NAMES[0]: RemoteFile(size=5)})
        with pytest.raises(RemoteError, match=r"shard-0\.tar: 3000 bytes, expected 5: replaced or cut off"):
            cache.lease(NAMES[0])


def test_any_file_system_of_fsspec_will_do(tmp_path: Path) -> None:
    fsspec.filesystem("memory").pipe({f"/any/{name}": content(number) for number, name in enumerate(NAMES)})
    cache = ShardCache("memory://any", tmp_path, 7000)
    assert cache.shards == NAMES
    use(cache, 0, 1, 2, 3)
    assert kept(cache) == NAMES[2:]


def test_a_store_without_its_package_names_the_extra(tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match=r"pip install 'omni\[remote\]'"):
        ShardCache("abfs://folder", tmp_path, 0)


def worker(pickled: bytes, numbers: list[int], limit: int) -> None:
    cache = pickle.loads(pickled)
    for number in numbers:
        use(cache, number)
        with Lock(cache.folder / STATE / "budget") as gate:  # nothing is evicted now
            gate.wait(shared=False)
            held = sum(path.stat().st_size for path in cache.folder.glob("*.tar"))
        assert held <= limit, f"{held} bytes of {limit}"


@pytest.mark.parametrize(
    ("start", "reads"),
    [("fork", [3, 3, 3, 3]), ("spawn", [1, 1, 1, 3])],  # spawned: the usual, larger ranges
)
def test_processes_share_one_cache(start: str, reads: list[int], make: Make) -> None:
    with http_store() as store:
        fill(store)
        cache = make(store)
        use(cache, 3)
        run_workers(start, cache, [[0, 1, 2, 3], [2, 1, 0, 3]], 12_000)
        assert [store.reads(name) for name in NAMES] == reads


def test_a_shard_that_another_fetched_and_keeps_is_shared(store: Store, make: Make) -> None:
    ours, other = make(store), make(store)
    held: list[Lease] = []
    looks: list[bool] = []

    def look_before_the_other_fetches(name: str, lock: Lock) -> bool:
        looks.append(found := is_here(name, lock))
        if len(looks) == 2:  # the last look before the download
            lock.drop()  # as the next step does: now the other may come first
            held.append(other.lease(name))
        return found

    is_here, ours._is_here = ours._is_here, look_before_the_other_fetches  # type: ignore[method-assign]
    with ours.lease(NAMES[0]) as path, held[0]:
        assert path.read_bytes() == content(0)
    assert looks == [False, False, True]
    assert (ours.counts().downloaded_bytes, other.counts().downloaded_bytes) == (0, 3000)


def test_a_download_that_is_finished_while_room_is_looked_for_keeps_its_room(make: Make) -> None:
    with http_store() as store:
        fill(store)
        cache = make(store, budget=6500)
        use(cache, 0)
        budget = Budget(cache.folder, cache.folder / STATE, 6500)
        held = [(False, 0, budget.part_of(NAMES[0]), 3000), *budget._held()]  # as listed before its end
        budget._held = lambda: held  # type: ignore[method-assign]
        assert budget.reserve(NAMES[1], 3000) is None  # it counts twice: the next look will find the room
        assert kept(cache) == [NAMES[0]]
        use(cache, 1)
        assert kept(cache) == NAMES[:2]


def test_processes_keep_one_budget(make: Make) -> None:
    with http_store() as store:
        fill(store)
        run_workers(
            "fork", make(store, budget=7000, patience=300.0), [[0, 1, 2, 3] * 5, [3, 1, 0, 2] * 5], 7000
        )


def run_workers(start: str, cache: ShardCache, plans: list[list[int]], limit: int) -> None:
    context: Any = multiprocessing.get_context(start)
    workers = [context.Process(target=worker, args=(pickle.dumps(cache), plan, limit)) for plan in plans]
    for process in workers:
        process.start()
    for process in workers:
        process.join(300)
    assert [process.exitcode for process in workers] == [0, 0]


def test_a_killed_download_leaves_nothing_in_the_way(make: Make) -> None:
    with http_store() as store:
        fill(store)
        never = threading.Event()
        store.fail(NAMES[0], None, never.wait)
        cache = make(store, budget=3500)
        process = multiprocessing.get_context("fork").Process(target=use, args=(cache, 0))
        process.start()
        part = cache.folder / STATE / f"{NAMES[0]}.part"
        while store.reads(NAMES[0]) < 2:
            time.sleep(0.01)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join(300)
        assert part.exists()
        never.set()
        use(cache, 1, 0)  # the dead download's room is taken first, then fetched anew
        assert kept(cache) == [NAMES[0]]
        assert not part.exists()


def test_a_forked_process_cannot_give_back_our_lease(make: Make) -> None:
    with http_store() as store:
        fill(store)
        cache = make(store, budget=3500)
        lease = cache.lease(NAMES[0])
        process = multiprocessing.get_context("fork").Process(target=lease.release)
        process.start()
        process.join(300)
        with pytest.raises(NoRoomError):
            cache.lease(NAMES[1])
        lease.release()
        use(cache, 1)
