"""Who may come in: the key, loopback, and names that a browser may be led to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from omni.serve.guard import Guard, is_loopback
from omni.serve.metrics import Metrics
from omni.serve.settings import ServeConfig
from tests.serve.live import Live, live, local_model, server_of
from tests.serve.talk import CHAT, asked, chat, error_of
from tests.tiny_model import tiny_model

KEY = "a-key"


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with a key, and a page of two files."""
    static, metrics = tmp_path_factory.mktemp("static"), Metrics()
    (static / "index.html").write_text("the page")
    (static / "app.js").write_text("code")
    server = server_of({"tiny": local_model(tiny_model(), metrics)}, metrics, api_key=KEY)
    with live(server, static) as running:
        yield running


def test_every_path_but_health_and_the_page_needs_the_key(locked: Live) -> None:
    with locked.client() as client:
        assert client.get("/health").json() == {"status": "ok"}
        page = client.get("/")
        assert (page.text, client.get("/index.html").text, client.get("/app.js").text) == (
            "the page",
            "the page",
            "code",
        )
        assert "default-src 'self'" in page.headers["content-security-policy"]
        for path in ("/v1/models", "/metrics", "/openapi.json", "/nothing"):
            error = error_of(client.get(path), 401)
            assert error["code"] == "invalid_api_key"
        error_of(client.post("/health"), 401)
        refused = client.post(CHAT, json=chat(), headers={"Authorization": "Bearer wrong"})
        assert refused.headers["www-authenticate"] == "Bearer"
        error_of(refused, 401)
        error_of(client.post(CHAT, json=chat(), headers={"Authorization": KEY}), 401)
    with locked.client(headers={"Authorization": f"Bearer {KEY}"}) as client:
        assert asked(client, chat())["choices"]
        assert client.get("/openapi.json").json()["openapi"].startswith("3.")


@pytest.mark.parametrize(
    ("client", "headers", "passes"),
    [
        ("127.0.0.1", {"host": "localhost:8000"}, True),
        ("127.0.0.1", {"host": "127.0.0.1"}, True),
        ("::1", {"host": "[::1]:8000"}, True),
        ("::ffff:127.0.0.1", {"host": "localhost"}, True),
        ("127.0.0.1", {"host": "localhost", "origin": "http://localhost:3000"}, True),
        ("127.0.0.1", {"host": "localhost", "origin": "https://example.com"}, False),
        ("127.0.0.1", {"host": "localhost", "origin": "null"}, False),
        ("127.0.0.1", {"host": "rebound.example.com"}, False),
        ("127.0.0.1", {"host": "localhost.example.com"}, False),
        ("127.0.0.1", {}, False),
        ("192.168.1.7", {"host": "localhost"}, False),
    ],
)
def test_without_a_key_only_this_machine_comes_in(client: str, headers: dict[str, str], passes: bool) -> None:
    guard = Guard(_nothing, ServeConfig(), [])
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": "/health", "method": "GET", "client": (client, 1), "headers": raw}
    refusal = guard._refusal(scope)
    assert (refusal is None) is passes
    if refusal is not None:
        assert (refusal.status_code, refusal.code) == (403, "loopback_only")


async def _nothing(*_: object) -> None:
    raise AssertionError("nobody calls it")


def test_loopback_is_told_from_what_looks_like_it() -> None:
    assert all(is_loopback(host) for host in ("127.0.0.1", "127.8.9.1", "::1", "localhost"))
    assert not any(
        is_loopback(host) for host in ("", "0.0.0.0", "10.0.0.1", "127.0.0.1.example.com", "1.1.1.1")
    )


def test_other_hosts_need_a_key() -> None:
    with pytest.raises(
        ValueError, match=r"host 0\.0\.0\.0 can be reached from other machines: give --api-key"
    ):
        ServeConfig(host="0.0.0.0")
    with pytest.raises(ValueError, match="the API key is empty"):
        ServeConfig(api_key=" ")
    assert ServeConfig(host="0.0.0.0", api_key=KEY).api_key == KEY


def test_nothing_outside_the_pages_folder_is_sent(locked: Live, tmp_path: Path) -> None:
    with locked.client(headers={"Authorization": f"Bearer {KEY}"}) as client:
        for path in ("/../pyproject.toml", "/%2e%2e/guard.py", "/static/index.html", "/app.js/"):
            assert client.get(path).status_code in (307, 404), path
