"""A full queue, a client that leaves, a deadline, a large body, and the end of the server."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import httpx2
import pytest

from omni.serve.metrics import Metrics
from tests.serve.live import LIMITS, SLOTS, Live, live, local_model, server_of
from tests.serve.talk import CHAT, asked, chat, endless, error_of
from tests.tiny_model import tiny_model


def limited(**changes: Any) -> AbstractContextManager[Live]:
    """A server with other limits."""
    limits = replace(LIMITS, **changes)
    metrics = Metrics()
    return live(server_of({"tiny": local_model(tiny_model(), metrics, limits)}, metrics, limits=limits))


def until(true: Callable[[], bool], seconds: float = 20.0) -> float:
    """Seconds until something holds."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < seconds, "it never came to hold"
        time.sleep(0.002)
    return time.monotonic() - began


def cancelled(running: Live) -> float:
    value = running.server.metrics.registry.get_sample_value(
        "omni_answers_total", {"model": "tiny", "reason": "cancelled"}
    )
    return value or 0.0


@pytest.fixture(scope="module")
def small() -> Iterator[Live]:
    """A server with room for two waiting answers, and small bodies."""
    with limited(queue=2, body_mib=0.01) as running:
        yield running


@pytest.mark.parametrize("settings", [{"stream": True}, {"stream": True, "n": 3}, {"stream": False}])
def test_a_client_that_leaves_frees_its_places(small: Live, settings: dict[str, Any]) -> None:
    """While it reads a stream, and while it waits for a whole answer."""
    local, before = small.local(), cancelled(small)
    places = settings.get("n", 1)
    client = socket.create_connection(("127.0.0.1", httpx2.URL(small.url).port or 0))
    body = json.dumps(endless(**settings)).encode()
    head = f"POST {CHAT} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    client.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    until(lambda: len(local.engine._running) == places)
    client.close()
    until(lambda: local.busy == 0 and not local.engine._running)
    until(lambda: cancelled(small) == before + places)


def test_a_full_queue_is_429_with_retry_after(small: Live) -> None:
    local = small.local()
    with small.client() as client:
        streams = [client.stream("POST", CHAT, json=endless(stream=True, n=n)) for n in (SLOTS, 2)]
        for stream in streams:
            stream.__enter__()
        until(lambda: local.busy == SLOTS + 2)
        response = client.post(CHAT, json=chat())
        error = error_of(response, 429)
        assert response.headers["retry-after"] == "1"
        assert (error["type"], error["code"]) == ("rate_limit_error", "queue_full")
        for stream in streams:
            stream.__exit__(None, None, None)
        until(lambda: local.busy == 0)
        assert asked(client, chat())["choices"]
        assert "at most 6 are possible" in error_of(client.post(CHAT, json=chat(n=7)), 400)["message"]


def test_a_body_is_counted_while_it_comes(small: Live) -> None:
    def body() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * 1000

    with small.client() as client:
        json_type = {"content-type": "application/json"}
        error = error_of(client.post(CHAT, content=b"x" * 20_000, headers=json_type), 413)
        assert error["code"] == "body_too_large"
        error_of(client.post(CHAT, content=body(), headers=json_type), 413)
        form = {"content-type": "multipart/form-data; boundary=b"}
        error_of(client.post("/v1/audio/transcriptions", content=body(), headers=form), 413)


def test_a_deadline_ends_the_answer_with_an_error() -> None:
    with limited(seconds=0.2) as running, running.client() as client:
        error = error_of(client.post(CHAT, json=endless()), 504)
        assert error["code"] == "deadline_exceeded"
        response = client.post(CHAT, json=endless(stream=True))
        assert response.status_code == 200
        assert '"code":"deadline_exceeded"' in response.text.strip().split("\n\n")[-1]
        assert "[DONE]" not in response.text
        until(lambda: running.local().busy == 0)


def test_what_is_begun_is_finished_when_the_server_ends() -> None:
    with limited() as running, running.client() as client:
        body = endless(stream=True) | {"max_tokens": 200}
        with client.stream("POST", CHAT, json=body) as response:
            pieces = response.iter_text()
            received = next(pieces)
            running.uvicorn.should_exit = True
            received += "".join(pieces)
        assert received.endswith("data: [DONE]\n\n")
        assert '"finish_reason":"length"' in received
        until(lambda: not running.local().engine.in_thread)
        with running.client() as late, pytest.raises(httpx2.ConnectError):
            late.get("/health")
