"""Documents through the cache, from a plain HTTP server and from S3: the same as from a local folder."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import Connection
from pathlib import Path

import fsspec
import numpy as np
import pytest
from torch.utils.data import DataLoader, Dataset

from omni.datamodules.remote.cache import STATE
from omni.datamodules.remote.errors import RemoteError
from omni.datamodules.remote.remote_config import RemoteConfig
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.index import write_index
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.writer import write_shards
from tests.datamodules.remote.stores import QUICK, Store, http_store
from tests.datamodules.remote.test_prefetch import wait_for
from tests.tiny import tiny_documents

DOCUMENTS, SHARDS = 24, 4
ORDER = np.random.default_rng(0).permutation(DOCUMENTS).tolist()
Open = Callable[..., ShardReader]


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> ShardReader:
    """Four shards of six documents."""
    folder = tmp_path_factory.mktemp("shards")
    write_shards(tiny_documents(DOCUMENTS), folder, per_shard=DOCUMENTS // SHARDS)
    return ShardReader(folder)


def upload(store: Store, folder: Path) -> None:
    for path in folder.iterdir():
        store.put(path.name, path.read_bytes())


@pytest.fixture(params=["http", "s3"])
def store(request: pytest.FixtureRequest, local: ShardReader) -> Iterator[Store]:
    if request.param == "s3":
        store = request.getfixturevalue("s3")()
        upload(store, local.folder)
        yield store
    else:
        with http_store() as store:
            upload(store, local.folder)
            yield store


@pytest.fixture
def http(local: ShardReader) -> Iterator[Store]:
    with http_store() as store:
        upload(store, local.folder)
        yield store


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    """Opens a store's shards; ``room``: shards of the largest size that the budget holds."""

    def open_reader(store: Store, room: float = 100, cache: str = "cache", **options: object) -> ShardReader:
        config = RemoteConfig(
            cache=str(tmp_path / cache), storage_options=store.options, retry=QUICK, patience=300.0
        )
        reader = ShardReader(store.url, remote=config)
        size = max(index.size for index in reader.indexes)
        return ShardReader(
            store.url,
            remote=replace(config, budget_bytes=int(room * size), **options),  # type: ignore[arg-type]
        )

    return open_reader


def assert_same(reader: ShardReader, local: ShardReader, numbers: list[int]) -> None:
    for number in numbers:
        assert reader.members(number) == local.members(number)


def on_disk(reader: ShardReader) -> int:
    """Bytes that the shards take."""
    return sum(path.stat().st_size for path in reader.folder.glob("*.tar"))


def nothing_left(reader: ShardReader) -> bool:
    return not list((reader.folder / STATE).glob("*.part"))


def test_documents_are_those_of_the_local_folder(store: Store, opened: Open, local: ShardReader) -> None:
    reader = opened(store)
    assert (len(reader), reader.fingerprint) == (DOCUMENTS, local.fingerprint)
    assert [store.reads(index.shard.name) for index in local.indexes] == [0] * SHARDS
    assert_same(reader, local, ORDER)
    assert [document.key for document in map(reader.__getitem__, range(DOCUMENTS))] == [
        local[number].key for number in range(DOCUMENTS)
    ]
    assert [store.reads(index.shard.name) for index in local.indexes] == [1] * SHARDS
    assert reader.place(7) == (f"{store.url}/shard-000001.tar", "000007")
    assert nothing_left(reader)


def test_a_budget_of_one_shard_will_do(store: Store, opened: Open, local: ShardReader) -> None:
    reader = opened(store, room=1)
    budget = reader.source.cache.budget_bytes  # type: ignore[union-attr]
    for number in ORDER:
        assert_same(reader, local, [number])
        assert on_disk(reader) <= budget
    assert reader.source.cache.counts().evictions >= SHARDS  # type: ignore[union-attr]


class Members(Dataset[dict[str, bytes]]):
    """The documents of a reader, for torch's loader."""

    def __init__(self, reader: ShardReader) -> None:
        self.reader = reader

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, number: int) -> dict[str, bytes]:
        return self.reader.members(number)


def loaded(reader: ShardReader, start: str, workers: int = 2) -> list[dict[str, bytes]]:
    loader = DataLoader(
        Members(reader),
        batch_size=None,
        sampler=ORDER,
        num_workers=workers,
        multiprocessing_context=start,
        timeout=300,
    )
    return list(loader)


def assert_shared(reader: ShardReader, local: ShardReader, start: str) -> None:
    assert_same(reader, local, ORDER[:3])  # what the main process has open is not in the way
    assert loaded(reader, start) == [local.members(number) for number in ORDER]
    assert on_disk(reader) <= reader.source.cache.budget_bytes  # type: ignore[union-attr]
    assert nothing_left(reader)


def test_workers_share_a_budget_of_one_shard(store: Store, opened: Open, local: ShardReader) -> None:
    assert_shared(opened(store, room=1), local, "fork")


def test_spawned_workers_do_so_too(http: Store, opened: Open, local: ShardReader) -> None:
    assert_shared(opened(http, room=1), local, "spawn")


def serve(reader: ShardReader, pipe: Connection) -> None:
    """A worker that waits for work."""
    for number in iter(pipe.recv, None):
        pipe.send(reader.members(number))


def test_a_worker_that_waits_keeps_no_room(http: Store, opened: Open, local: ShardReader) -> None:
    reader = opened(http, room=1, patience=0.2)
    ours, theirs = multiprocessing.Pipe()
    worker = multiprocessing.get_context("fork").Process(target=serve, args=(reader, theirs))
    worker.start()
    for number in (0, 23, 1):
        ours.send(number)
        assert ours.poll(300)
        assert ours.recv() == local.members(number)
        assert_same(reader, local, [DOCUMENTS - 7 - number // 2])  # another shard
    ours.send(None)
    worker.join(300)
    assert worker.exitcode == 0


def test_threads_read_while_shards_are_evicted(http: Store, opened: Open, local: ShardReader) -> None:
    """Each must have the whole document, whenever its file goes away."""
    reader = opened(http, room=1.5)

    def read(seed: int) -> None:
        assert_same(reader, local, np.random.default_rng(seed).permutation(DOCUMENTS).tolist())

    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(read, seed) for seed in range(4)]:
            done.result(300)


def test_the_room_of_a_killed_worker_comes_back(http: Store, opened: Open, local: ShardReader) -> None:
    reader = opened(http, room=1)
    never, name = threading.Event(), local.indexes[0].shard.name
    http.fail(name, never.wait)
    worker = multiprocessing.get_context("fork").Process(target=reader.members, args=(0,))
    worker.start()
    wait_for(lambda: http.reads(name) == 1)  # it has taken the whole budget for its download
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join(300)
    never.set()
    assert worker.exitcode == -signal.SIGKILL
    assert_same(reader, local, ORDER)
    assert nothing_left(reader)


@pytest.mark.parametrize("fault", [503, "drop", "short", "flip"])
def test_faults_in_the_middle_of_an_epoch(
    fault: object, store: Store, opened: Open, local: ShardReader
) -> None:
    reader = opened(store, room=1)
    found = []
    for at, number in enumerate(ORDER):
        if at % 4 == 1:
            for index in local.indexes:
                if not store.faults.get(
                    ("GET", index.shard.name)
                ):  # one at a time, or it would be a lasting one
                    store.fail(index.shard.name, fault)
        found.append(reader.members(number))
    assert found == [local.members(number) for number in ORDER]
    assert reader.source.cache.counts().retries > 0 or store.options  # type: ignore[union-attr]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_store_that_stays_away_is_an_error_and_no_damage(
    workers: int, store: Store, opened: Open, local: ShardReader
) -> None:
    reader = opened(store, cache=f"cache-{workers}")
    name = local.indexes[2].shard.name
    store.fail(name, *[503] * 400)
    with pytest.raises(
        RemoteError, match=rf"/data/{name}: the store does not answer .*; is it up, reachable\?"
    ):
        loaded(reader, "fork", workers) if workers else assert_same(reader, local, ORDER)
    store.faults.clear()
    assert_same(reader, local, ORDER)


def test_other_content_than_indexed_is_an_error_that_names_the_url(
    store: Store, opened: Open, local: ShardReader
) -> None:
    reader, shard = opened(store), local.indexes[1].shard
    changed = bytearray(shard.read_bytes())
    changed[700] ^= 1
    store.put(shard.name, bytes(changed))
    with pytest.raises(
        RemoteError, match=rf"/data/{shard.name}: content sha256:\w+, expected .*upload it again"
    ):
        reader[7]
    assert_same(reader, local, [0, 23])


def test_a_digest_is_checked_without_dataset_json(http: Store, opened: Open, local: ShardReader) -> None:
    http.delete("dataset.json")
    reader, shard = opened(http), local.indexes[1].shard
    http.fail(shard.name, "flip")
    assert_same(reader, local, ORDER)
    assert http.reads(shard.name) == 2


def test_an_index_that_is_not_that_of_the_shard_is_refused(
    http: Store, opened: Open, local: ShardReader, tmp_path: Path
) -> None:
    theirs = tmp_path / "shard-000001.tar"
    shutil.copy(local.indexes[0].shard, theirs)
    write_index(theirs)
    http.put(f"{theirs.name}.idx", theirs.with_name(f"{theirs.name}.idx").read_bytes())
    with pytest.raises(
        DocumentError, match=rf"^{http.url}/shard-000001\.tar\.idx: stale index, .* upload the folder"
    ):
        opened(http)
    http.put(f"{theirs.name}.idx", b"no index")
    with pytest.raises(
        DocumentError, match=rf"^{http.url}/shard-000001\.tar\.idx: damaged, .* upload the folder"
    ):
        opened(http, cache="other")


def test_a_shard_over_the_budget_is_refused_at_the_start(http: Store, opened: Open) -> None:
    with pytest.raises(
        DocumentError, match=r"/shard-\d+\.tar: \d+ bytes, more than .* budget .*raise budget_bytes"
    ):
        opened(http, room=0.5)


def test_a_reader_that_was_sent_opens_its_own_files(http: Store, opened: Open, local: ShardReader) -> None:
    reader = opened(http)
    reader.members(0)
    again = pickle.loads(pickle.dumps(reader))
    assert_same(again, local, ORDER)
    assert again.folder == reader.folder


def test_the_plan_fetches_ahead(http: Store, opened: Open, local: ShardReader) -> None:
    """As the loader does: rows are handed out, and before each the main process says what comes behind it."""
    reader = opened(http, ahead=2)
    rows = [ORDER[start : start + 3] for start in range(0, DOCUMENTS, 3)]
    coming = [np.concatenate(rows[at : at + 1 + reader.ahead]) for at in range(len(rows))]
    for row, numbers in zip(rows, coming, strict=True):
        reader.prefetch(numbers)
        wait_for(lambda: reader._prefetcher._thread is None)  # type: ignore[union-attr]
        before = reader.source.cache.counts()  # type: ignore[union-attr]
        assert_same(reader, local, row)
        assert reader.source.cache.counts().misses == before.misses  # type: ignore[union-attr]
    assert [http.reads(index.shard.name) for index in local.indexes] == [1] * SHARDS
    reader.close()


def test_documents_read_often_are_not_evicted(http: Store, opened: Open, local: ShardReader) -> None:
    reader = opened(http, room=2.5)
    assert_same(reader, local, [0, 6])
    time.sleep(1.1)  # uses are noted once a second
    assert_same(reader, local, [1, 12])
    kept = sorted(path.name for path in reader.folder.glob("*.tar"))
    assert kept == ["shard-000000.tar", "shard-000002.tar"]


def test_local_folders_are_read_in_place(local: ShardReader, tmp_path: Path) -> None:
    config = RemoteConfig(cache=str(tmp_path / "cache"))
    for folder in (local.folder, str(local.folder), f"file://{local.folder}"):
        reader = ShardReader(folder, remote=config)
        assert (reader.folder, reader.ahead, reader.source.cache) == (local.folder, 0, None)
        reader.prefetch(np.arange(3))
        assert_same(reader, local, ORDER[:2])
        reader.close()
    assert not (tmp_path / "cache").exists()


def test_any_url_of_fsspec_will_do(local: ShardReader, tmp_path: Path) -> None:
    files = fsspec.filesystem("memory")
    files.pipe({f"/reader/{path.name}": path.read_bytes() for path in local.folder.iterdir()})
    config = RemoteConfig(cache=str(tmp_path))
    assert_same(ShardReader("memory://reader", remote=config), local, ORDER)
    files.pipe("/no-shards/dataset.json", json.dumps({"shards": []}).encode())
    with pytest.raises(RemoteError, match=r"memory://nowhere: no such file .* check the URL"):
        ShardReader("memory://nowhere", remote=config)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match=r"expected a budget_bytes of at least 1, .* got 0, 16 and 600"):
        RemoteConfig(budget_bytes=0)
    one, other = (RemoteConfig().folder_of(url) for url in ("s3://bucket/train/", "s3://bucket/val"))
    assert one.name.startswith("s3-bucket-train-") and one.parent == other.parent and one != other
    assert "secret" not in str(RemoteConfig().folder_of("https://user:secret@host/data"))
