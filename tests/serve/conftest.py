"""One server for all tests that don't need one of their own."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    import httpx2

    from tests.serve.live import Live

MISSING = [
    name
    for name in ("fastapi", "httpx2", "multipart", "prometheus_client", "uvicorn")
    if find_spec(name) is None
]
collect_ignore_glob = ["test_*.py"] if MISSING else []
if MISSING:
    print(f"tests of omni serve need {MISSING}: run `pip install 'omni[serve]'`")


@pytest.fixture(scope="session")
def running() -> Iterator[Live]:
    """A server of one tiny random model, called ``tiny``."""
    from omni.serve.metrics import Metrics
    from tests.serve.live import live, local_model, server_of
    from tests.tiny_model import tiny_model

    metrics = Metrics()
    with live(server_of({"tiny": local_model(tiny_model(), metrics)}, metrics)) as found:
        yield found


@pytest.fixture(scope="session")
def client(running: Live) -> Iterator[httpx2.Client]:
    """A client of it."""
    with running.client() as found:
        yield found
