"""The shards of a remote folder on the local disk, within a budget of bytes, for all processes of a machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from omni.datamodules.remote.budget import Budget, discard
from omni.datamodules.remote.counters import Counts
from omni.datamodules.remote.download import announced, download
from omni.datamodules.remote.errors import (
    CancelledError,
    NoRoomError,
    RemoteError,
    ReplacedError,
    without_secrets,
)
from omni.datamodules.remote.folder import RemoteFile, RemoteFolder, RetryConfig
from omni.datamodules.remote.lease import Lease
from omni.datamodules.remote.lock import Lock
from omni.datamodules.shards.dataset import SUMMARY_FILE
from omni.datamodules.shards.shard_index import INDEX_SUFFIX

STATE = ".cache"
"""Folder of locks, records and unfinished downloads within the cache's folder."""
_POLL = 0.05  # seconds between two looks for room
_DOWNLOADS = 2  # of a file whose content is not the expected one
_FETCHERS = 8  # threads that fetch indexes


class ShardCache:
    """Gives local paths of the shards of a folder at any fsspec URL, downloading what is absent.

    A folder on a local disk is read in place. Any number of threads and processes of one machine may use the
    same cache folder at once; it serves one URL. Shards fetched by an earlier run are used again where their
    size and digest, or version, are still the expected ones. Indexes and ``dataset.json`` are kept outside
    the budget.
    """

    def __init__(
        self,
        url: str,
        folder: Path | str,
        budget_bytes: int,
        storage_options: Mapping[str, Any] | None = None,
        *,
        expected: Mapping[str, RemoteFile] | None = None,
        retry: RetryConfig | None = None,
        patience: float = 60.0,
    ) -> None:
        """
        Args:
            url: folder of shards.
            folder: on a local disk.
            budget_bytes: that the shards and unfinished downloads may take.
            storage_options: for fsspec's file system.
            expected: size and digest by file name, over what the listing tells.
            retry: how failed requests are made again.
            patience: seconds to wait for room when the whole budget is in use.

        Raises:
            RemoteError: the folder can't be listed, or the cache folder is another URL's.
        """
        self.remote = RemoteFolder(url, storage_options or {}, retry or RetryConfig())
        self.patience = patience
        local = self.remote.local_path()
        self.in_place = local is not None
        self.folder = Path(folder if local is None else local)
        self._state = self.folder / STATE
        self._budget = Budget(self.folder, self._state, budget_bytes)
        self._asked: set[str] = set()
        if not self.in_place:
            self._state.mkdir(parents=True, exist_ok=True)
            self._claim()
        self.files = self.remote.list_files()
        self.expect(expected or {})

    @property
    def shards(self) -> list[str]:
        """Names of the folder's shards, in order."""
        return sorted(name for name in self.files if name.endswith(".tar"))

    @property
    def budget_bytes(self) -> int:
        """Bytes that the shards and unfinished downloads may take."""
        return self._budget.limit

    def touch(self, name: str) -> None:
        """Note that a file which was leased before is in use: it is evicted later."""
        self._budget.touch(name)

    def counts(self) -> Counts:
        """What this process did so far."""
        return self.remote.counters.counts()

    def expect(self, files: Mapping[str, RemoteFile]) -> None:
        """Add sizes and digests, by file name, that ``dataset.json`` or an index knows; they win over the store's."""
        for name, file in files.items():
            known = self.files.get(name, RemoteFile())
            self.files[name] = RemoteFile(
                known.size if file.size is None else file.size,
                known.digest if file.digest is None else file.digest,
                known.version if file.version is None else file.version,
            )

    def expect_nothing(self) -> None:
        """Take files as the store has them now, whatever ``dataset.json`` says of their size and content."""
        self.files = {name: RemoteFile(version=file.version) for name, file in self.files.items()}

    def fetch_indexes(self) -> Path:
        """Bring ``dataset.json``, where there is one, and the index of every shard; returns their folder.

        Raises:
            RemoteError: an index is missing or can't be had.
        """
        names = [name + INDEX_SUFFIX for name in self.shards]
        names += [SUMMARY_FILE] if SUMMARY_FILE in self.files else []
        with ThreadPoolExecutor(_FETCHERS) as pool:
            for lease in pool.map(self.lease, names):
                lease.release()
        return self.folder

    def lease(self, name: str, wait: bool = True, stop: threading.Event | None = None) -> Lease:
        """The file on the local disk, kept there until the lease is released.

        Args:
            name: of a file directly in the folder.
            wait: for room in the budget, up to ``patience`` seconds.
            stop: set to give up waiting and downloading.

        Raises:
            RemoteError: it can't be had, isn't the expected one, or is larger than the budget.
            NoRoomError: the budget is in use.
            CancelledError: ``stop`` was set.
        """
        if name in ("", ".", "..", STATE) or "/" in name:
            raise ValueError(
                f"{name!r}: expected the name of a file directly in {without_secrets(self.remote.url)}"
            )
        if self.in_place:
            return Lease(self._in_place(name))
        self._ask_version(name, stop)
        with ExitStack() as undo:
            lock = undo.enter_context(self._budget.lock_of(name))
            lock.wait(shared=True, stop=stop)
            hit = self._is_here(name, lock)
            while not self._is_here(name, lock):
                lock.drop()
                if not lock.try_lock(shared=False):
                    lock.pause(stop)  # not until it is free: another may fetch it, and keep it for an epoch
                elif not self._is_here(name, lock):  # another may have fetched it meanwhile
                    self._fetch(name, lock, wait, stop)
                lock.wait(shared=True, stop=stop)  # others may come in between: look again
            self.remote.counters.add("hits" if hit else "misses")
            lock.touch()
            undo.pop_all()
            return Lease(self.folder / name, lock)

    def _in_place(self, name: str) -> Path:
        path = self.folder / name
        if not path.is_file():
            raise RemoteError(f"{path}: no such file; {len(self.shards)} shards are here")
        expected, size = self.files.get(name, RemoteFile()).size, path.stat().st_size
        if expected not in (None, size):
            raise RemoteError(
                f"{path}: {size} bytes, expected {expected}: replaced or cut off since it was listed"
            )
        return path

    def _ask_version(self, name: str, stop: threading.Event | None) -> None:
        """Once per file, where the listing told neither version nor digest: is the copy of an earlier run good?"""
        known = self.files.get(name, RemoteFile())
        if known.version is None and known.digest is None and name not in self._asked:
            found = self.remote.info(name, stop)
            self.files[name] = RemoteFile(known.size or found.size, None, found.version)
            self._asked.add(name)

    def _is_here(self, name: str, lock: Lock) -> bool:
        record, path, expected = lock.record(), self.folder / name, self.files.get(name, RemoteFile())
        if record is None or not path.is_file():
            return False
        if path.stat().st_size != record["size"] or expected.size not in (None, record["size"]):
            return False
        if expected.digest is not None:
            return record["digest"] == expected.digest
        return expected.version is None or record["version"] in (None, expected.version)

    def _fetch(self, name: str, lock: Lock, wait: bool, stop: threading.Event | None) -> None:
        """Download under the exclusive lock; the file appears only when it is whole and checked."""
        path, part = self.folder / name, self._budget.part_of(name)
        try:
            for left in reversed(range(_DOWNLOADS)):
                file = announced(self.remote, name, self.files.get(name, RemoteFile()), stop)
                if path.exists():
                    discard(path)
                self._make_room(name, file.size or 0, wait, stop)
                try:
                    download(self.remote, name, file, part, stop)
                    break
                except ReplacedError:
                    if not left:
                        raise
                    self.remote.counters.add("retries")
            lock.write_record({"size": file.size, "digest": file.digest, "version": file.version})
            part.replace(path)
        except RemoteError:
            raise
        except OSError as error:
            raise RemoteError(
                f"{part}: can't be written ({error}); free some room or give the cache another folder"
            ) from error
        finally:
            part.unlink(missing_ok=True)

    def _make_room(self, name: str, size: int, wait: bool, stop: threading.Event | None) -> None:
        if not name.endswith(".tar"):
            return
        what = f"{self.remote.url_of(name)}: {size} bytes"
        if size > self._budget.limit:
            raise RemoteError(
                f"{what}, more than the cache's budget of {self._budget.limit}; raise budget_bytes"
            )
        until = time.monotonic() + self.patience
        self._budget.part_of(name).unlink(missing_ok=True)
        while (evicted := self._budget.reserve(name, size)) is None:
            if not wait or time.monotonic() > until:
                raise NoRoomError(
                    f"{what} don't fit beside the shards in use, within a budget of {self._budget.limit} bytes "
                    f"({self.folder}); release leases sooner, or raise budget_bytes"
                )
            if (stop or threading.Event()).wait(_POLL):
                raise CancelledError(f"{what}: stopped by the caller")
        self.remote.counters.add("evictions", evicted)

    def _claim(self) -> None:
        """Note whose cache the folder is, so that no other URL's shards of the same names are taken for ours.

        Raises:
            RemoteError: it is another's, or it holds shards that no cache put there and eviction would delete.
        """
        url = without_secrets(self.remote.url.rstrip("/"))
        with Lock(self._state / "source") as lock:
            lock.wait(shared=False)
            record = lock.record()
            if record is None:
                if mine := next(self.folder.glob("*.tar*"), None):
                    raise RemoteError(
                        f"{mine}: the cache folder holds files of your own; give it an empty folder"
                    )
                lock.write_record({"url": url})
            elif record["url"] != url:
                raise RemoteError(
                    f"{self.folder}: is the cache of {record['url']}; give {url} another folder"
                )
