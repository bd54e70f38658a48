"""What ``/metrics`` tells Prometheus."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from omni.inference.request import Reason
from omni.serve.schema.base import ModalityTokens

BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
"""Seconds."""
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Counts of one server, in a registry of its own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self.requests = Counter(
            "omni_requests", "Requests by path and status.", ["path", "status"], registry=registry
        )
        self.seconds = Histogram(
            "omni_request_seconds",
            "Time until a response was whole.",
            ["path"],
            registry=registry,
            buckets=BUCKETS,
        )
        self.answers = Counter(
            "omni_answers",
            "Answers of checkpoints by why they ended: end, stop, length, cancelled, deadline, failed.",
            ["model", "reason"],
            registry=registry,
        )
        self.tokens = Counter(
            "omni_tokens",
            "Positions read and written: text tokens, patches, frames.",
            ["model", "direction", "modality"],
            registry=registry,
        )
        self.first = Histogram(
            "omni_first_token_seconds",
            "Time from a streaming request to the first piece of its answer.",
            ["model"],
            registry=registry,
            buckets=BUCKETS,
        )
        self.busy = Gauge("omni_busy", "Answers in work or waiting.", ["model"], registry=registry)
        self.refused = Counter(
            "omni_refused", "Requests refused for a full queue.", ["model"], registry=registry
        )

    def answered(self, model: str, reason: Reason, read: ModalityTokens, written: ModalityTokens) -> None:
        """Count a finished answer."""
        self.answers.labels(model, reason).inc()
        for direction, counts in (("read", read), ("written", written)):
            for modality in ("text", "image", "audio"):
                if count := getattr(counts, f"{modality}_tokens"):
                    self.tokens.labels(model, direction, modality).inc(count)

    def text(self) -> bytes:
        """All of it in Prometheus' text format."""
        return generate_latest(self.registry)


class Measured:
    """Counts and times the responses of an app."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        """``paths`` are counted by name, all others as one."""
        self.app, self.metrics, self.paths = app, metrics, paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and look at what is sent."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status = time.monotonic(), "gone"
        path = scope["path"] if scope["path"] in self.paths else "other"

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = str(message["status"])
            await send(message)

        try:
            await self.app(scope, receive, watched)
        finally:
            self.metrics.requests.labels(path, status).inc()
            self.metrics.seconds.labels(path).observe(time.monotonic() - began)
