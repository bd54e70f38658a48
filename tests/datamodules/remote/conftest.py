"""The stores that each test of the cache runs against, and the files on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from omni.datamodules.remote.cache import ShardCache
from tests.datamodules.remote.stores import HAVE_S3, QUICK, Store, http_store, s3_server

Make = Callable[..., ShardCache]


def content(number: int, size: int = 3000) -> bytes:
    """Bytes that tell the shard and the place in it."""
    return b"".join(b"%03d:%06d;" % (number, at) for at in range(size // 11 + 1))[:size]


def fill(store: Store, shards: int = 4, size: int = 3000) -> None:
    for number in range(shards):
        store.put(f"shard-{number}.tar", content(number, size))
        store.put(f"shard-{number}.tar.idx", b"index %d" % number)


@pytest.fixture(scope="session")
def s3() -> Iterator[Callable[[], Store]]:
    """Makes stores on one S3 server."""
    if not HAVE_S3:
        pytest.skip("needs moto[s3], flask, flask-cors and s3fs")
    with s3_server() as make:
        yield make


@pytest.fixture(params=["http", "s3"])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """Four shards of 3,000 bytes with their indexes."""
    if request.param == "s3":
        store = request.getfixturevalue("s3")()
        fill(store)
        yield store
    else:
        with http_store() as store:
            fill(store)
            yield store


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a cache of a store, which asks for 1,000 bytes at a time."""
    monkeypatch.setattr("omni.datamodules.remote.download.CHUNK_BYTES", 1000)

    def cache(store: Store, budget: int = 1 << 20, folder: str = "cache", **options: Any) -> ShardCache:
        options = {"retry": QUICK, "patience": 0.3, **options}
        return ShardCache(store.url, tmp_path / folder, budget, store.options, **options)

    return cache
