"""An app behind a real socket, in a thread of the test."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import torch
import uvicorn

from omni.inference.batcher import EngineConfig
from omni.inference.omni import Omni
from omni.model import OmniTransformer
from omni.serve.app import create_app
from omni.serve.local import LocalModel
from omni.serve.metrics import Metrics
from omni.serve.server import Model, Server
from omni.serve.settings import Limits, ServeConfig
from omni.serve.static_files import STATIC
from tests.tiny import tiny_tokenizers

SLOTS = 4
LIMITS = Limits(queue=8, seconds=300.0, max_tokens=24, spoken_seconds=0.6, audio_seconds=2.0)


@dataclass(frozen=True)
class Live:
    """A server that runs."""

    url: str
    server: Server
    uvicorn: uvicorn.Server

    def client(self, **options: Any) -> httpx2.Client:
        """A plain client of it."""
        return httpx2.Client(base_url=self.url, timeout=120, trust_env=False, **options)

    def local(self, name: str = "tiny") -> LocalModel:
        """One of its checkpoints."""
        return self.server.local(name)


def local_model(
    model: OmniTransformer, metrics: Metrics, limits: Limits = LIMITS, name: str = "tiny", slots: int = SLOTS
) -> LocalModel:
    """A model with tiny tokenizers behind a server."""
    omni = Omni(model, tiny_tokenizers())
    return LocalModel(name, omni, EngineConfig(slots=slots, positions=600), limits, metrics)


def server_of(models: Mapping[str, Model], metrics: Metrics, **settings: Any) -> Server:
    """A server of these models."""
    # the first vote makes the file
    defaults: dict[str, Any] = {"limits": LIMITS, "votes": Path(tempfile.mkdtemp()) / "votes.sqlite"}
    return Server(models, ServeConfig(**(defaults | settings)), metrics)


@contextmanager
def live(server: Server, static: Path = STATIC) -> Iterator[Live]:
    """Run the server's app on a free port."""
    torch.set_num_threads(1)
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        create_app(server, static),
        log_level="critical",
        lifespan="on",
        timeout_graceful_shutdown=10,
        timeout_keep_alive=300,
    )
    runner = uvicorn.Server(config)
    thread = threading.Thread(target=runner.run, args=([listener],), daemon=True)
    thread.start()
    while not runner.started:
        assert thread.is_alive(), "the server ended at its start"
        time.sleep(0.005)
    try:
        yield Live(f"http://127.0.0.1:{listener.getsockname()[1]}", server, runner)
    finally:
        runner.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server does not stop"
