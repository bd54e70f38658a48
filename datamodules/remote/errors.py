"""What can go wrong between here and a store: worth another try, or not, and what to do about it."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from http import HTTPStatus

_BUSY = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}
_TRANSPORT = {
    "aiohttp.client_exceptions.ClientError",
    "botocore.exceptions.FlexibleChecksumError",
    "botocore.exceptions.HTTPClientError",
    "botocore.exceptions.IncompleteReadError",
}
"""Bases of the errors of a broken connection, and of an answer that arrived cut or changed; by name, since the
packages that define them are optional."""
_LASTING = {
    getattr(errno, name)
    for name in (
        "EINVAL",
        "EPERM",
        "EACCES",
        "ENOSYS",
        "ENOSPC",
        "EDQUOT",
        "EROFS",
        "ENAMETOOLONG",
        "EREMCHG",
    )
    if hasattr(errno, name)
}
"""Error numbers of the system, and of s3fs for refusals, that stay whatever is tried."""


class RemoteError(OSError):
    """A file that can't be had from its store; the message names its URL and the fix."""


class MissingError(RemoteError):
    """The store says that there is no such file."""


class NoRoomError(RemoteError):
    """The cache's budget is taken by files in use."""


class ReplacedError(RemoteError):
    """A file arrived with other content than announced: the copy is damaged, or the file was replaced."""


class CancelledError(RemoteError):
    """The caller's stop event was set while it waited."""


def is_transient(error: BaseException) -> bool:
    """Whether the same request may succeed a moment later: a busy or failing server, a broken connection."""
    if isinstance(error, RemoteError):
        return False
    status = http_status(error)
    if status is not None:
        return status in _BUSY or (status >= 500 and status != HTTPStatus.NOT_IMPLEMENTED)
    if any(_is_transport(one) for one in _chain(error)):
        return True
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return False
    return isinstance(error, OSError | EOFError) and getattr(error, "errno", None) not in _LASTING


def http_status(error: BaseException) -> int | None:
    """The HTTP status behind an error of aiohttp, botocore or gcsfs; ``None`` where there was no answer.

    fsspec's HTTP turns any failed ``info`` into a ``FileNotFoundError``; the causes still know better.
    """
    for one in _chain(error):
        response = getattr(one, "response", None)
        said = (
            response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
        )
        for status in (said, getattr(one, "status", None), getattr(one, "code", None)):
            if isinstance(status, int) and 400 <= status < 600:
                return status
        if _is_transport(one):  # what lies behind is about the wire: aiohttp gives a cut body the code 400
            return None
    return None


def explained(url: str, error: BaseException) -> RemoteError:
    """The error for the user: URL, what happened, what to do."""
    if isinstance(error, RemoteError):
        return error
    status = http_status(error)
    said = f"{type(error).__name__}: {error}"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) or isinstance(error, PermissionError):
        what = (
            f"access denied ({said}); check the credentials (storage_options, environment) and their rights"
        )
    elif isinstance(error, ImportError):
        what = f"{error}; `pip install 'omni[remote]'` brings the stores' packages"
    elif is_transient(error):
        what = f"the store does not answer as it should, tried again and again ({said}); is it up, reachable?"
    elif status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE) or isinstance(error, FileNotFoundError):
        what = f"no such file ({said}); check the URL, and that the folder was uploaded whole"
    else:
        what = f"can't be read ({said}); check the URL and storage_options"
    missing = what.startswith("no such file")
    return (MissingError if missing else RemoteError)(f"{without_secrets(url)}: {without_secrets(what)}")


def without_secrets(text: str) -> str:
    """The text with the user and password of its URLs hidden."""
    return re.sub(r"://[^/@\s]+@", "://***@", text)


def _chain(error: BaseException) -> Iterator[BaseException]:
    one: BaseException | None = error
    while one is not None:
        yield one
        one = one.__cause__


def _is_transport(error: BaseException) -> bool:
    return any(f"{kind.__module__}.{kind.__qualname__}" in _TRANSPORT for kind in type(error).__mro__)
