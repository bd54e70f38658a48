"""Stores that break connections, send too little or something else, refuse, hang, and change under the reader."""

from __future__ import annotations

import errno
import hashlib
import threading

import pytest

from omni.datamodules.remote.errors import CancelledError, RemoteError, http_status, is_transient
from omni.datamodules.remote.folder import RemoteFile, RetryConfig
from tests.datamodules.remote.conftest import Make, content, fill
from tests.datamodules.remote.stores import QUICK, Store, http_store

NAME = "shard-1.tar"
SHA256 = f"sha256:{hashlib.sha256(content(1)).hexdigest()}"


def fetched(cache: object, name: str = NAME) -> bytes:
    with cache.lease(name) as path:  # type: ignore[attr-defined]
        return path.read_bytes()


def nothing_left(cache: object) -> bool:
    return not [path for path in cache.folder.rglob("*") if path.suffix in (".tar", ".part")]  # type: ignore[attr-defined]


@pytest.mark.parametrize("fault", ["drop", "short", 500, 503])
def test_a_fault_that_passes_is_overcome(fault: object, store: Store, make: Make) -> None:
    cache = make(store)
    store.fail(NAME, None, fault, fault)
    assert fetched(cache) == content(1)
    # three ranges of 1,000 bytes and two that failed; of the short ones the 500 bytes that came are kept
    assert store.reads(NAME) == (4 if fault == "short" else 5)
    assert cache.counts().retries == 2 or store.options  # s3fs makes some requests again by itself


def test_the_same_faults_in_the_middle_of_the_listing(store: Store, make: Make) -> None:
    store.fail("data", 503, "drop")  # the listing of the plain server; S3's has the bucket's name
    store.fail(store.url.split("/")[2], 503, "drop")
    store.fail("dataset.json", 500)
    assert make(store).shards == [f"shard-{number}.tar" for number in range(4)]


@pytest.mark.parametrize("fault", [500, "drop"])
def test_a_fault_that_stays_is_an_error_that_names_the_url(fault: object, store: Store, make: Make) -> None:
    cache = make(store)
    store.fail(NAME, *[fault] * 100)
    with pytest.raises(RemoteError, match=r"/data/shard-1\.tar: the store does not answer .* is it up"):
        cache.lease(NAME)
    assert nothing_left(cache)
    store.faults.clear()
    assert fetched(cache) == content(1)


@pytest.mark.parametrize(
    ("status", "reason"), [(403, "access denied .* check the credentials"), (404, "no such file")]
)
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_a_refusal_is_an_error_at_once(
    status: int, reason: str, method: str, store: Store, make: Make
) -> None:
    cache = make(store)
    store.fail(NAME, *[status] * 9, method="HEAD" if method == "HEAD" else "GET")
    store.fail(NAME, *[status] * 9)
    with pytest.raises(RemoteError, match=rf"/data/shard-1\.tar: {reason}"):
        cache.lease(NAME)
    assert cache.counts().retries == 0
    assert nothing_left(cache)


@pytest.mark.parametrize(
    "digest", [SHA256, f"blake2b:{hashlib.blake2b(content(1), digest_size=16).hexdigest()}"]
)
def test_wrong_content_is_fetched_once_more_then_an_error(digest: str, store: Store, make: Make) -> None:
    cache = make(store, expected={NAME: RemoteFile(3000, digest)})
    store.fail(NAME, "flip")
    assert fetched(cache) == content(1)
    assert (cache.counts().retries, cache.counts().downloaded_bytes) == (1, 6000)
    again = make(store, folder="other", expected={NAME: RemoteFile(3000, digest)})
    store.put(NAME, content(8))
    with pytest.raises(
        RemoteError, match=rf"shard-1\.tar: content {digest[:7]}.*, expected {digest}: the file was"
    ):
        again.lease(NAME)
    assert nothing_left(again)


def test_another_size_than_expected_is_an_error(store: Store, make: Make) -> None:
    cache = make(store, expected={NAME: RemoteFile(2999)})
    with pytest.raises(
        RemoteError, match=r"shard-1\.tar: 3000 bytes, expected 2999: .* index its folder again"
    ):
        cache.lease(NAME)


def test_a_shard_replaced_since_the_listing_is_an_error(store: Store, make: Make) -> None:
    cache = make(store)
    cache.expect({NAME: cache.remote.info(NAME)})  # a plain server's listing has no versions
    store.put(NAME, content(8))
    with pytest.raises(
        RemoteError, match=r"shard-1\.tar: replaced since it was listed \(version .*start anew"
    ):
        cache.lease(NAME)


@pytest.mark.parametrize("new", [content(8), content(8, 1500)], ids=["same size", "shorter"])
def test_a_shard_replaced_while_it_is_read_is_never_a_mixture(new: bytes, store: Store, make: Make) -> None:
    cache = make(store)
    cache.expect({NAME: cache.remote.info(NAME)})
    store.fail(NAME, None, lambda: store.put(NAME, new))
    with pytest.raises(RemoteError, match=r"shard-1\.tar: (replaced|1500 bytes, expected 3000)"):
        cache.lease(NAME)
    assert nothing_left(cache)


def test_a_server_that_hangs_is_asked_again(store: Store, make: Make) -> None:
    cache = make(store, retry=RetryConfig(attempts=99, first_wait=0.01, timeout=0.5))
    answer = threading.Event()
    store.fail(NAME, answer.wait)
    assert fetched(cache) == content(1)
    assert cache.counts().retries >= 1
    answer.set()


def test_waiting_can_be_called_off(make: Make) -> None:
    with http_store() as store:
        fill(store)
        cache = make(store, retry=RetryConfig(attempts=9, first_wait=60.0, longest_wait=60.0))
        stop = threading.Event()
        store.fail(NAME, *[503] * 9)
        threading.Timer(0.1, stop.set).start()
        with pytest.raises(CancelledError, match=r"shard-1\.tar: stopped by the caller"):
            cache.lease(NAME, stop=stop)
        assert nothing_left(cache)


@pytest.mark.parametrize("lacks", ["ranges", "etags", "listing"])
def test_plainer_servers_will_do(lacks: str, make: Make) -> None:
    with http_store(**{lacks: False}) as store:
        fill(store)
        shards = ",".join(f'{{"name": "shard-{number}.tar", "bytes": 3000}}' for number in range(4))
        store.put("dataset.json", f'{{"shards": [{shards}]}}'.encode())
        cache = make(store)
        assert [fetched(cache, name) for name in cache.shards] == [content(number) for number in range(4)]
        cache.fetch_indexes()
        assert (cache.folder / f"{NAME}.idx").read_bytes() == b"index 1"
        assert store.reads(NAME) == (1 if lacks == "ranges" else 3)


def test_dataset_json_gives_sizes_and_digests(store: Store, make: Make) -> None:
    store.put(
        "dataset.json", f'{{"shards": [{{"name": "{NAME}", "bytes": 3000, "digest": "{SHA256}"}}]}}'.encode()
    )
    cache = make(store)
    assert (cache.files[NAME].size, cache.files[NAME].digest) == (3000, SHA256)
    store.put(NAME, content(8))
    with pytest.raises(RemoteError, match=r"shard-1\.tar: content sha256:"):
        cache.lease(NAME)


def test_a_folder_that_lacks_what_dataset_json_names_is_an_error(make: Make) -> None:
    with http_store(listing=False) as store:
        with pytest.raises(RemoteError, match=r"/data: no such file .* check the URL"):
            make(store)
        store.put("dataset.json", b'{"shards": 3}')
        with pytest.raises(
            RemoteError, match=r"/data/dataset\.json: damaged .*`omni shards index` writes it anew"
        ):
            make(store)
        store.put("dataset.json", b'{"shards": [{"name": "shard-9.tar", "bytes": 3}]}')
        with pytest.raises(RemoteError, match=r"/data/shard-9\.tar: no such file"):
            make(store).lease("shard-9.tar")


def test_s3_says_at_once_what_dataset_json_names_in_vain(s3: object, make: Make) -> None:
    store: Store = s3()  # type: ignore[operator]
    store.put("dataset.json", b'{"shards": [{"name": "shard-9.tar", "bytes": 3}]}')
    with pytest.raises(
        RemoteError, match=r"shard-9\.tar: dataset.json names it, but .* \(1 of 1 shards are missing"
    ):
        make(store)
    store.delete("dataset.json")
    store.put("readme", b"")
    with pytest.raises(
        RemoteError, match=r"/data: no shards \(\*\.tar\) and no dataset\.json here; check the URL"
    ):
        make(store)


def test_a_dead_server_is_an_error(make: Make) -> None:
    store = Store()
    store.url = "http://user:secret@127.0.0.1:9/data"
    with pytest.raises(
        RemoteError, match=r"http://\*\*\*@127\.0\.0\.1:9/.*: the store does not answer"
    ) as caught:
        make(store, retry=RetryConfig(attempts=2, first_wait=0.0))
    assert "secret" not in str(caught.value)


class AnswerError(Exception):
    """As the HTTP packages raise them."""

    def __init__(self, status: int) -> None:
        self.status = status


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (TimeoutError(), True),
        (ConnectionResetError(), True),
        (OSError(errno.EIO, "?"), True),
        (OSError(errno.EBUSY, "SlowDown"), True),
        (EOFError(), True),
        (OSError(errno.ENOSPC, "full"), False),
        (OSError(errno.EINVAL, "InvalidRange"), False),
        (PermissionError(), False),
        (FileNotFoundError(), False),
        (KeyError("our own mistake"), False),
        (RemoteError("said already"), False),
        *(
            (AnswerError(status), status in (408, 425, 429, 500, 502, 503, 504))
            for status in (400, 401, 403, 404, 408)
        ),
        *(
            (AnswerError(status), status in (408, 425, 429, 500, 502, 503, 504))
            for status in (410, 429, 500, 501, 503)
        ),
    ],
)
def test_what_is_worth_another_try(error: Exception, transient: bool) -> None:
    assert is_transient(error) is transient


def test_the_status_is_found_behind_other_errors() -> None:
    error = FileNotFoundError("url")
    error.__cause__ = AnswerError(503)
    assert http_status(error) == 503
    assert is_transient(error)
    assert http_status(ValueError()) is None


def test_waits_grow_within_their_limits_and_are_random() -> None:
    config = RetryConfig(first_wait=1.0, longest_wait=5.0)
    for attempt, most in enumerate([1, 2, 4, 5, 5], start=1):
        waits = {config.wait_after(attempt) for _ in range(50)}
        assert len(waits) == 50
        assert most / 2 < max(waits) <= most
    with pytest.raises(ValueError, match="expected at least one attempt"):
        RetryConfig(attempts=0)
    assert QUICK.attempts == 4


@pytest.mark.parametrize("digest", ["md5:00", "sha256:", "sha256:xyz", "abc"])
def test_digests_have_a_known_form(digest: str) -> None:
    with pytest.raises(ValueError, match="expected sha256:HEX or blake2b:HEX"):
        RemoteFile(digest=digest)
