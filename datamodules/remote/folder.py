"""A folder of shards at an fsspec URL: what lies in it, and ranges of bytes of its files, with retries."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from omni.datamodules.remote.counters import Counters
from omni.datamodules.remote.errors import (
    CancelledError,
    MissingError,
    RemoteError,
    explained,
    is_transient,
    without_secrets,
)
from omni.datamodules.shards.dataset import SUMMARY_FILE

T = TypeVar("T")
_VERSIONS = ("ETag", "etag", "generation", "md5Hash", "Last-Modified", "LastModified", "mtime", "created")
"""Fields of fsspec's ``info`` that change with the content, the surest first."""


@dataclass(frozen=True, kw_only=True)
class RetryConfig:
    """How a failed request is made again: at a random time within a window that doubles (full jitter).

    Some stores' packages (s3fs, gcsfs) repeat a request by themselves a few times; these come on top.
    """

    attempts: int = 6
    """Requests at most, the first included."""
    first_wait: float = 0.5
    """Seconds: the longest wait before the second request."""
    longest_wait: float = 30.0
    """Seconds: the longest wait before any request."""
    timeout: float = 60.0
    """Seconds that one request may take, on stores that can be stopped (S3, GCS, HTTP)."""

    def __post_init__(self) -> None:
        if self.attempts < 1 or min(self.first_wait, self.longest_wait) < 0 or self.timeout <= 0:
            raise ValueError(
                f"expected at least one attempt, waits from 0 s and a timeout over 0 s, got {self}"
            )

    def wait_after(self, attempt: int) -> float:
        """Seconds to wait after the failed ``attempt``, counted from 1.

        From the system's randomness: forked workers would share the state of any other, and wait alike.
        """
        return random.SystemRandom().uniform(0, min(self.longest_wait, self.first_wait * 2 ** (attempt - 1)))


@dataclass(frozen=True)
class RemoteFile:
    """What is known of a file before it is fetched; ``None`` is not known."""

    size: int | None = None
    """Bytes."""
    digest: str | None = None
    """Of the content, as ``sha256:HEX`` or ``blake2b:HEX`` (of any length)."""
    version: str | None = None
    """The store's mark of this content (ETag, generation, or time of change)."""

    def __post_init__(self) -> None:
        algorithm, _, value = (self.digest or "sha256:00").partition(":")
        if algorithm not in ("sha256", "blake2b") or not value or value.strip("0123456789abcdef"):
            raise ValueError(f"digest {self.digest!r}: expected sha256:HEX or blake2b:HEX, in small letters")


@dataclass(frozen=True)
class RemoteFolder:
    """The files directly in a folder; any process and thread may use it, and it can be pickled."""

    url: str
    """Any URL of fsspec: a path, ``s3://``, ``gs://``, ``https://``, ``memory://``."""
    storage_options: Mapping[str, Any] = field(default_factory=dict)
    """For fsspec's file system, such as ``{"key": ..., "secret": ..., "endpoint_url": ...}`` of s3fs."""
    retry: RetryConfig = field(default_factory=RetryConfig)
    counters: Counters = field(default_factory=Counters)

    def url_of(self, name: str) -> str:
        """URL of a file in the folder, or of the folder (no name), for messages: without passwords."""
        return without_secrets(f"{self.url.rstrip('/')}/{name}".rstrip("/"))

    def local_path(self) -> str | None:
        """The folder's path where it is on a local disk."""
        files, root = self._open()
        return root if isinstance(files, LocalFileSystem) else None

    def list_files(self) -> dict[str, RemoteFile]:
        """Name to file of what lies in the folder, as far as the store and ``dataset.json`` tell.

        Raises:
            RemoteError: neither a listing nor a ``dataset.json`` can be had, or it names a shard that isn't there.
        """
        try:
            listed = self._listing()
        except RemoteError as error:  # many stores let files be read and not listed
            listed, refused = {}, error
        else:
            refused = RemoteError(
                f"{self.url_of('')}: no shards (*.tar) and no {SUMMARY_FILE} here; check the URL"
            )
        try:
            content = self.read_all(SUMMARY_FILE)
        except MissingError as error:
            if not any(name.endswith(".tar") for name in listed):
                raise refused from error
            return listed
        return self._with_summary(listed, content)

    def _with_summary(self, listed: dict[str, RemoteFile], content: bytes) -> dict[str, RemoteFile]:
        """The listing with what ``dataset.json`` knows: the shards, their sizes and, where it has them, digests."""
        try:
            shards = {
                shard["name"]: RemoteFile(int(shard["bytes"]), shard.get("digest"))
                for shard in json.loads(content)["shards"]
            }
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RemoteError(
                f"{self.url_of(SUMMARY_FILE)}: damaged ({type(error).__name__}: {error}); "
                f"`omni shards index` writes it anew"
            ) from error
        missing = [name for name in shards if name not in listed]
        if missing and any(file.size is not None for file in listed.values()):
            raise RemoteError(
                f"{self.url_of(missing[0])}: {SUMMARY_FILE} names it, but it is not there "
                f"({len(missing)} of {len(shards)} shards are missing); upload the folder again"
            )
        files = {**listed, SUMMARY_FILE: listed.get(SUMMARY_FILE, RemoteFile())}
        for name, shard in shards.items():
            files[name] = replace(shard, version=listed.get(name, RemoteFile()).version)
        return files

    def _listing(self) -> dict[str, RemoteFile]:
        def ask(files: Any, root: str) -> list[dict[str, Any]]:
            files.invalidate_cache()
            return files.ls(root, detail=True, **self._limits(files))

        entries = self._request("", ask)
        return {
            entry["name"].rpartition("/")[2]: RemoteFile(entry.get("size"), None, version_of(entry))
            for entry in entries
            if entry["type"] == "file"
        }

    def info(self, name: str, stop: threading.Event | None = None) -> RemoteFile:
        """Size and version of a file, asked of the store now.

        Raises:
            RemoteError: not there, not allowed, or no answer.
        """

        def ask(files: Any, path: str) -> dict[str, Any]:
            files.invalidate_cache()
            return files.info(path, **self._limits(files))

        entry = self._request(name, ask, stop)
        return RemoteFile(entry.get("size"), None, version_of(entry))

    def read(self, name: str, start: int, end: int, stop: threading.Event | None = None) -> bytes:
        """Bytes of a file from ``start`` on, at least one; fewer than up to ``end`` where the store gives fewer.

        A server that knows no ranges sends the whole file: then more than was asked for, from byte 0 on.

        Raises:
            RemoteError: not there, not allowed, or no answer.
        """

        def ask(files: Any, path: str) -> bytes:
            content = files.cat_file(path, start=start, end=end, **self._limits(files))
            self.counters.add("downloaded_bytes", len(content))
            if not content:
                raise EOFError(f"no bytes came for {start}..{end}")
            return content

        return self._request(name, ask, stop)

    def read_all(self, name: str) -> bytes:
        """The whole of a small file.

        Raises:
            RemoteError: not there, not allowed, or no answer.
        """

        def ask(files: Any, path: str) -> bytes:
            content = files.cat_file(path, **self._limits(files))
            self.counters.add("downloaded_bytes", len(content))
            return content

        return self._request(name, ask)

    def _open(self) -> tuple[Any, str]:
        """fsspec's file system, which it keeps by process, and the folder's path in it."""
        try:
            return fsspec.url_to_fs(self.url, **self.storage_options)
        except (ImportError, ValueError) as error:
            raise explained(self.url, error) from error

    def _limits(self, files: Any) -> dict[str, float]:
        return {"timeout": self.retry.timeout} if files.async_impl else {}

    def _request(self, name: str, ask: Callable[[Any, str], T], stop: threading.Event | None = None) -> T:
        """Ask until there is an answer, an error that stays, or no attempt left."""

        files, root = self._open()
        path = f"{root.rstrip('/')}/{name}".rstrip("/")
        for attempt in range(1, self.retry.attempts + 1):
            try:
                return ask(files, path)
            except Exception as error:  # each store has its own kinds
                if attempt == self.retry.attempts or not is_transient(error):
                    raise explained(self.url_of(name), error) from error
            self.counters.add("retries")
            if (stop or threading.Event()).wait(self.retry.wait_after(attempt)):
                raise CancelledError(f"{self.url_of(name)}: stopped by the caller")
        raise AssertionError(f"attempts {self.retry.attempts} were checked to be at least 1")


def version_of(entry: Mapping[str, Any]) -> str | None:
    """The store's mark of a file's content, from fsspec's ``info``."""
    value = next((entry[key] for key in _VERSIONS if entry.get(key)), None)
    if isinstance(value, datetime):  # some give a date here and seconds there
        value = value.timestamp()
    return None if value is None else str(value)
