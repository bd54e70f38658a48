"""Copies one file from its store, range by range, and checks that it is whole and the one expected."""

from __future__ import annotations

import hashlib
import os
import threading
from functools import partial
from pathlib import Path

from omni.datamodules.remote.errors import CancelledError, RemoteError, ReplacedError
from omni.datamodules.remote.folder import RemoteFile, RemoteFolder

CHUNK_BYTES = 8 << 20
"""Bytes asked for at a time: what is lost when a connection breaks."""


def announced(
    folder: RemoteFolder, name: str, expected: RemoteFile, stop: threading.Event | None
) -> RemoteFile:
    """The file as the store has it now, with its size, if it is the expected one.

    Raises:
        RemoteError: it can't be had, it has no known size, or it isn't the file that was expected.
    """
    found = folder.info(name, stop)
    size = expected.size if found.size is None else found.size
    url = folder.url_of(name)
    if size is None:
        raise RemoteError(
            f"{url}: the server doesn't say how long the file is, nor is its size expected; list it"
        )
    if expected.size is not None and size != expected.size:
        raise RemoteError(
            f"{url}: {size} bytes, expected {expected.size}: the file was replaced or cut off; if on purpose, "
            f"index its folder again and start anew"
        )
    if expected.digest is None and _differ(expected.version, found.version):
        raise RemoteError(
            f"{url}: replaced since it was listed (version {expected.version}, now {found.version}); start anew, "
            f"and if it was changed on purpose, index its folder again"
        )
    return RemoteFile(size, expected.digest, found.version)


def download(
    folder: RemoteFolder, name: str, file: RemoteFile, target: Path, stop: threading.Event | None = None
) -> None:
    """Copy a file of known size to ``target``, which may exist and is made whole and durable.

    Args:
        file: as ``announced`` tells.
        stop: set to give up at the next range.

    Raises:
        RemoteError: it can't be read.
        ReplacedError: its content isn't the expected one, or it was replaced meanwhile: worth a second try.
        CancelledError: ``stop`` was set.
    """
    try:
        _copy(folder, name, file, target, stop)
    except RemoteError as error:
        if isinstance(error, CancelledError) or file.digest or not _replaced(folder, name, file, stop):
            raise
        raise ReplacedError(f"{folder.url_of(name)}: replaced while it was read") from error
    if file.digest is not None:
        found = digest_of(target, like=file.digest)
        if found != file.digest:
            raise ReplacedError(
                f"{folder.url_of(name)}: content {found}, expected {file.digest}: the file was replaced or "
                f"damaged; upload it again, or index its folder again if it was changed on purpose"
            )
    elif _replaced(folder, name, file, stop):
        raise ReplacedError(f"{folder.url_of(name)}: replaced while it was read")


def digest_of(path: Path, like: str) -> str:
    """Digest of a file's content in the manner of ``like``: ``sha256:HEX``, or ``blake2b:HEX`` of its length."""
    algorithm, _, value = like.partition(":")
    with path.open("rb") as file:
        if algorithm == "sha256":
            return f"{algorithm}:{hashlib.file_digest(file, hashlib.sha256).hexdigest()}"
        blake2b = partial(hashlib.blake2b, digest_size=len(value) // 2)
        return f"{algorithm}:{hashlib.file_digest(file, blake2b).hexdigest()}"


def _copy(
    folder: RemoteFolder, name: str, file: RemoteFile, target: Path, stop: threading.Event | None
) -> None:
    size = file.size
    assert size is not None, f"{name}: announced() gives a size"
    at = 0
    with target.open("wb") as out:
        out.truncate(size)  # holds its place in the budget
        while at < size:
            if stop is not None and stop.is_set():
                raise CancelledError(f"{folder.url_of(name)}: stopped by the caller")
            end = min(at + CHUNK_BYTES, size)
            content = folder.read(name, at, end, stop)
            if len(content) > end - at:  # a server without ranges: all of it
                if len(content) != size:
                    raise RemoteError(
                        f"{folder.url_of(name)}: {len(content)} bytes came for {at}..{end} of {size}"
                    )
                content = content[at:]
            elif len(content) < end - at:
                folder.counters.add("retries")
            out.write(content)
            at += len(content)
        out.flush()
        os.fsync(out.fileno())


def _replaced(folder: RemoteFolder, name: str, file: RemoteFile, stop: threading.Event | None) -> bool:
    now = folder.info(name, stop)
    return _differ(file.version, now.version) or (now.size is not None and now.size != file.size)


def _differ(one: str | None, other: str | None) -> bool:
    return None not in (one, other) and one != other
