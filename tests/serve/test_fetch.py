"""URLs: data: always, others of allowed domains only, and never an address of the server's own network."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence

import httpx2
import pytest

from omni.serve.errors import ApiError
from omni.serve.fetch import Fetcher, is_public
from omni.serve.settings import Limits

PUBLIC = "93.184.216.34"
OPEN = Limits(domains=("pictures.example.com", "*.cdn.example.net"), body_mib=0.001)
Names = dict[str, list[str]]


def fetch(
    url: str,
    answer: Callable[[httpx2.Request], httpx2.Response] | None = None,
    limits: Limits = OPEN,
    names: Names | None = None,
) -> bytes:
    async def look_up(host: str, port: int) -> Sequence[str]:
        return (names or {}).get(host, [PUBLIC])

    def never(request: httpx2.Request) -> httpx2.Response:
        pytest.fail(f"{request.url} was asked")

    fetcher = Fetcher(limits, look_up, httpx2.MockTransport(answer or never))
    return asyncio.run(fetcher(url, "place"))


def refused(url: str, *args: object, **options: object) -> str:
    with pytest.raises(ApiError) as caught:
        fetch(url, *args, **options)  # type: ignore[arg-type]
    assert (caught.value.status_code, caught.value.param) == (400, "place")
    return caught.value.message


def test_data_urls_hold_their_content() -> None:
    encoded = base64.b64encode(b"content").decode()
    assert fetch(f"data:image/png;base64,{encoded}", limits=Limits()) == b"content"
    assert fetch(f"DATA:image/png;charset=x;base64,{encoded}") == b"content"
    assert fetch("data:,con%20tent") == b"con tent"
    assert "no data: URL" in refused("data:image/png;base64")
    assert "no base64" in refused("data:image/png;base64,%%%")


def test_by_default_nothing_is_fetched() -> None:
    for url in ("https://pictures.example.com/x.png", "http://127.0.0.1/", "file:///etc/passwd", "x.png", ""):
        assert "only data: URLs are taken" in refused(url, limits=Limits())


def test_an_allowed_file_is_fetched_from_the_address_that_was_checked() -> None:
    asked: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        asked.append(request)
        return httpx2.Response(200, content=b"picture")

    assert fetch("https://pictures.example.com/a/x.png?size=2#part", answer) == b"picture"
    (request,) = asked
    assert str(request.url) == f"https://{PUBLIC}/a/x.png?size=2"
    assert request.headers["host"] == "pictures.example.com"
    assert request.extensions["sni_hostname"] == "pictures.example.com"
    assert fetch("http://a.b.cdn.example.net/", answer) == b"picture"
    names = {"pictures.example.com": ["2606:2800:220:1:248:1893:25c8:1946"]}
    fetch("https://pictures.example.com/", answer, names=names)
    assert asked[-1].url.host == "2606:2800:220:1:248:1893:25c8:1946"


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/",
        "https://cdn.example.net/",
        "https://evilcdn.example.net/",
        "https://pictures.example.com.evil.org/",
        "https://evil.org/pictures.example.com",
        "https://pictures.example.com:8443/",
        "https://user@pictures.example.com/",
        "https://pictures.example.com@evil.org/",
        "ftp://pictures.example.com/",
        "gopher://pictures.example.com/",
        f"https://{PUBLIC}/",
        "https://[::1]/",
        "https://[bad/",
        "https://",
    ],
)
def test_what_is_not_allowed_is_not_asked(url: str) -> None:
    refused(url)


PRIVATE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1", "224.0.0.1",
    "255.255.255.255", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1",
    "64:ff9b::a00:1", "2002:7f00:1::", "2001:0:5ef5:79fd::f5ff:fffe", "no address",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_none_of_the_internet(address: str) -> None:
    assert not is_public(address)
    names = {"pictures.example.com": [PUBLIC, address]}  # one of several is enough
    assert "does not resolve to public addresses only" in refused("http://pictures.example.com/", names=names)


def test_public_addresses_are() -> None:
    assert all(is_public(address) for address in (PUBLIC, "8.8.8.8", "2606:4700::1111", "64:ff9b::808:808"))
    assert "is not known" in refused("http://pictures.example.com/", names={"pictures.example.com": []})


@pytest.mark.parametrize(
    ("target", "told"),
    [
        ("http://127.0.0.1/", "none of the domains"),
        ("//evil.org/", "none of the domains"),
        ("file:///etc/passwd", "expected http or https"),
        ("http://inside.cdn.example.net/", "does not resolve to public addresses only"),
        ("/again", "more than 3 redirects"),
    ],
)
def test_every_redirect_is_checked(target: str, told: str) -> None:
    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(302, headers={"location": target})

    names = {"inside.cdn.example.net": ["10.0.0.1"]}
    assert told in refused("http://pictures.example.com/", answer, names=names)


def test_a_redirect_to_an_allowed_place_is_followed() -> None:
    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.headers["host"] == "pictures.example.com":
            return httpx2.Response(301, headers={"location": "https://x.cdn.example.net/y"})
        return httpx2.Response(200, content=b"moved")

    assert fetch("http://pictures.example.com/", answer) == b"moved"


def test_what_is_too_large_or_fails_is_refused() -> None:
    assert "larger than 1048 bytes" in refused(
        "http://pictures.example.com/", lambda _: httpx2.Response(200, content=b"x" * 1049)
    )
    packed = httpx2.Response(200, headers={"content-encoding": "gzip"}, stream=httpx2.ByteStream(b"x"))
    assert "packed content" in refused("http://pictures.example.com/", lambda _: packed)
    assert "status 404" in refused("http://pictures.example.com/", lambda _: httpx2.Response(404))

    def broken(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("no route")

    assert "can't be fetched: ConnectError" in refused("http://pictures.example.com/", broken)
