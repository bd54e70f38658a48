"""One server for all tests that don't need one of their own."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from omni.serve.metrics import Metrics
from tests.serve.live import Live, live, local_model, server_of
from tests.tiny_model import tiny_model


@pytest.fixture(scope="session")
def running() -> Iterator[Live]:
    """A server of one tiny random model, called ``tiny``."""
    metrics = Metrics()
    with live(server_of({"tiny": local_model(tiny_model(), metrics)}, metrics)) as found:
        yield found


@pytest.fixture(scope="session")
def client(running: Live) -> Iterator[httpx2.Client]:
    """A client of it."""
    with running.client() as found:
        yield found
