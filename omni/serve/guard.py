"""Who may come in, and how much they may bring: decided before a byte of the body is read.

With a key, every path but ``/health`` and the static page needs it. Without one, only this machine is served: the
connection comes from a loopback address, and ``Host`` and ``Origin`` name one, so that no web page that a browser
here happens to show can ask either (DNS rebinding, cross-site requests).
"""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from omni.serve.errors import ApiError
from omni.serve.settings import LOOPBACK, ServeConfig

HEALTH = "/health"


class Guard:
    """Refuses clients that may not come in."""

    def __init__(self, app: ASGIApp, config: ServeConfig, open_paths: Collection[str]) -> None:
        self.app, self.key = app, config.api_key
        self.open_paths = frozenset({HEALTH, *open_paths})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer 401 or 403."""
        if scope["type"] == "http" and (error := self._refusal(scope)):
            await error.response()(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _refusal(self, scope: Scope) -> ApiError | None:
        headers = Headers(scope=scope)
        if self.key is None:
            return _not_from_here(scope, headers)
        if scope["path"] in self.open_paths and scope["method"] in ("GET", "HEAD"):
            return None
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self.key.encode()):
            return None
        message = "this server needs its API key: send `Authorization: Bearer KEY`"
        return ApiError(401, message, code="invalid_api_key", headers={"WWW-Authenticate": "Bearer"})


def _not_from_here(scope: Scope, headers: Headers) -> ApiError | None:
    client = scope.get("client")
    origin = headers.get("origin")
    named = {"Host": _host_of(f"//{headers.get('host', '')}")}
    if origin is not None:
        named["Origin"] = _host_of(origin)
    if client is not None and not is_loopback(client[0]):
        named["client"] = client[0]
    for what, host in named.items():
        if not is_loopback(host):
            message = (
                f"without an API key this server answers its own machine only ({what} is {host!r}): "
                f"start it with --api-key, or ask it at 127.0.0.1"
            )
            return ApiError(403, message, code="loopback_only")
    return None


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether an address or name is this machine's own."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host in LOOPBACK
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


class BodyCap:
    """Counts the bytes of a body while they stream in, and stops at the cap; a declared length is checked first."""

    def __init__(self, app: ASGIApp, most_bytes: int) -> None:
        self.app, self.most_bytes = app, most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a ``receive`` that raises ``ApiError`` 413 at the cap."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdigit() and int(declared[:20]) > self.most_bytes:
            await self._too_large().response()(scope, receive, send)
            return
        count = 0

        async def counted() -> Message:
            nonlocal count
            message = await receive()
            count += len(message.get("body", b""))
            if count > self.most_bytes:
                raise self._too_large()
            return message

        await self.app(scope, counted, send)

    def _too_large(self) -> ApiError:
        message = f"the body is larger than {self.most_bytes} bytes, the most that this server takes"
        # the rest of the body is not read, so the connection can't be used again
        return ApiError(413, message, code="body_too_large", headers={"Connection": "close"})
