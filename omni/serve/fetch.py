"""What a URL in a message stands for: the bytes of a ``data:`` URL, or a file of an allowed domain.

A fetch can be pointed at the server's own network, so by default nothing is fetched. Where a domain is allowed, its
name is resolved here, every address must be a public one, and the connection goes to the address that was checked,
not to the name (which could resolve to another a moment later). The same holds for every redirect.
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from collections.abc import Sequence as Seq
from urllib.parse import unquote_to_bytes, urljoin, urlsplit

import httpx2

from omni.serve.errors import invalid
from omni.serve.media import from_base64
from omni.serve.settings import Limits

DATA_URL = re.compile(r"data:(?P<type>[\w.+/-]*)(?P<options>(?:;[^;,]*)*),", re.ASCII | re.IGNORECASE)
REDIRECTS = 3
PORTS = {"http": 80, "https": 443}


Resolver = Callable[[str, int], Awaitable[Seq[str]]]
"""Gives the addresses of a host, which is to be reached at a port."""


async def resolve(host: str, port: int) -> Seq[str]:
    """The addresses that the system has for a name; none where it knows none."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return [str(entry[4][0]) for entry in found]


class Fetcher:
    """Gets the content of URLs."""

    def __init__(
        self,
        limits: Limits,
        resolver: Resolver = resolve,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        self.limits, self.resolver = limits, resolver
        self.most_bytes = int(limits.body_mib * (1 << 20))
        self._transport = transport

    async def __call__(self, url: str, param: str) -> bytes:
        """The content of ``url``.

        Raises:
            ApiError: 400 where the URL is not allowed, or has nothing; it names ``param``.
        """
        if url[:5].lower() == "data:":
            return data_of(url, param)
        if not self.limits.domains:
            message = (
                "only data: URLs are taken here, such as data:image/png;base64,...; send the file itself"
            )
            raise invalid(message, param, "url_not_allowed")
        try:
            async with asyncio.timeout(self.limits.fetch_seconds):
                return await self._fetched(url, param)
        except TimeoutError:
            message = f"the URL did not answer within {self.limits.fetch_seconds:g} s"
            raise invalid(message, param, "url_timeout") from None
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise invalid(f"the URL can't be fetched: {type(error).__name__}", param, "url_failed") from None

    async def _fetched(self, url: str, param: str) -> bytes:
        options = {"trust_env": False, "follow_redirects": False, "timeout": self.limits.fetch_seconds}
        async with httpx2.AsyncClient(transport=self._transport, **options) as client:  # type: ignore[arg-type]
            for _ in range(REDIRECTS + 1):
                scheme, host = self._allowed(url, param)
                address = await self._address(host, PORTS[scheme], param)
                parts = urlsplit(url)
                literal = f"[{address}]" if ":" in address else address
                pinned = parts._replace(netloc=literal, fragment="").geturl()
                headers = {
                    "Host": host,
                    "Accept-Encoding": "identity",
                }  # what is packed could unpack to any size
                request = client.build_request(
                    "GET", pinned, headers=headers, extensions={"sni_hostname": host}
                )
                response = await client.send(request, stream=True)
                try:
                    if not response.is_redirect:
                        return await self._body(response, param)
                    url = urljoin(url, response.headers.get("location", ""))
                finally:
                    await response.aclose()
        raise invalid(f"more than {REDIRECTS} redirects", param, "url_failed")

    def _allowed(self, url: str, param: str) -> tuple[str, str]:
        """Scheme and host of a URL that may be fetched."""
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            raise invalid("this is no URL", param, "url_not_allowed") from None
        if parts.scheme not in PORTS or port not in (None, PORTS[parts.scheme]) or parts.username is not None:
            message = "expected http or https on its usual port, and no user name"
            raise invalid(message, param, "url_not_allowed")
        if not any(_covers(domain, host) for domain in self.limits.domains):
            message = f"{host!r} is none of the domains that this server fetches from"
            raise invalid(message, param, "url_not_allowed")
        return parts.scheme, host

    async def _address(self, host: str, port: int, param: str) -> str:
        addresses = await self.resolver(host, port)
        if not addresses or not all(is_public(address) for address in addresses):
            what = "does not resolve to public addresses only" if addresses else "is not known"
            raise invalid(f"{host!r} {what}", param, "url_not_allowed")
        return addresses[0]

    async def _body(self, response: httpx2.Response, param: str) -> bytes:
        if response.status_code != 200:
            raise invalid(f"the URL answers with status {response.status_code}", param, "url_failed")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise invalid("the URL answers with packed content, which is not taken", param, "url_failed")
        content = bytearray()
        async for chunk in response.aiter_bytes():
            content += chunk
            if len(content) > self.most_bytes:
                raise invalid(f"the file is larger than {self.most_bytes} bytes", param, "url_too_large")
        return bytes(content)


def data_of(url: str, param: str) -> bytes:
    """The content of a ``data:`` URL (RFC 2397)."""
    found = DATA_URL.match(url)
    if found is None:
        raise invalid("no data: URL: expected data:TYPE;base64,DATA", param, "invalid_data_url")
    rest = url[found.end() :]
    if "base64" in found["options"].lower().split(";"):
        return from_base64(rest, param)
    return unquote_to_bytes(rest)


def is_public(address: str) -> bool:
    """Whether an address belongs to the internet at large; those that wrap another are judged by that one."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        if ip in ipaddress.ip_network("64:ff9b::/96"):  # NAT64 (RFC 6052)
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)))
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast


def _covers(domain: str, host: str) -> bool:
    domain, host = domain.lower(), host.lower()
    return host.endswith(domain[1:]) if domain.startswith("*.") else host == domain
