"""A Chromium that shows the compare page, and what a visitor does there."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest

from omni.media import encode_png
from omni.serve.endpoints import Endpoint
from omni.serve.metrics import Metrics
from omni.serve.remote import RemoteModel
from omni.serve.settings import Limits
from tests.serve.live import Live, live, local_model, server_of
from tests.serve.talk import CHAT
from tests.tiny import picture
from tests.tiny_model import tiny_model

playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
expect = playwright.expect
expect.set_options(timeout=20_000)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
"""The microphone beeps, and nobody is asked."""
FAR = 42
"""Remote endpoints beside the two checkpoints."""


def served(**settings: Any) -> Any:
    """A server of two tiny random models and many endpoints."""
    metrics = Metrics()
    limits = Limits(seconds=300.0, max_tokens=12, spoken_seconds=0.6, audio_seconds=10.0)
    models: dict[str, Any] = {
        name: local_model(tiny_model(seed), metrics, limits, name) for seed, name in enumerate(("one", "two"))
    }
    for number in range(FAR):
        endpoint = Endpoint(name=f"far-{number}", url="http://127.0.0.1:9/v1")
        models[endpoint.name] = RemoteModel(endpoint, 1.0)
    return live(server_of(models, metrics, limits=limits, **settings))


def from_here(url: str, shop: Live) -> bool:
    """Whether a request stays in the browser or goes to the server."""
    return url.startswith((shop.url, "data:", "blob:", "about:"))


def column(page: Any, letter: str) -> Any:
    """The head of a column, with its settings open."""
    found = page.get_by_role("group", name=f"Column {letter}", exact=True)
    if found.locator("details").get_attribute("open") is None:
        found.get_by_text("Settings").click()
    return found


def ask(page: Any, text: str) -> None:
    """Send a prompt, and wait for all answers."""
    page.locator("textarea").fill(text)
    page.keyboard.press("Control+Enter")
    whole(page)


def whole(page: Any) -> None:
    """Wait for all answers."""
    page.wait_for_selector(".answer")
    expect(page.locator(".answer[aria-busy=true]")).to_have_count(0)


def bodies(page: Any) -> list[dict[str, Any]]:
    """The chat requests from now on, as they are sent."""
    found: list[dict[str, Any]] = []
    page.on("request", lambda one: found.append(one.post_data_json) if one.url.endswith(CHAT) else None)
    return found


def answers(shop: Live, model: str, reason: str) -> float:
    """What the server counts."""
    labels = {"model": model, "reason": reason}
    return shop.server.metrics.registry.get_sample_value("omni_answers_total", labels) or 0.0


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    raise AssertionError("it never held")


def png() -> bytes:
    """A picture."""
    return encode_png(picture(3, 8, 8))
