"""Runs an app until it is told to stop."""

from __future__ import annotations

import sys

import uvicorn

from omni.serve.app import create_app
from omni.serve.server import Server

KEEP_ALIVE_SECONDS = 75
"""How long an idle connection stays open; longer than clients keep theirs, so that none asks while it closes."""
SWITCH_SECONDS = 2e-4
"""How long a thread may keep the interpreter: the engine takes it anew at each operation, and would wait 5 ms for
the event loop each time."""


def run_server(server: Server, port: int, drain_seconds: int) -> None:
    """Serve until SIGTERM or SIGINT; then take no more connections and finish what is begun.

    What is not done after ``drain_seconds`` is cancelled.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    host = server.config.host
    print(
        f"serving {', '.join(server.models)} at http://{f'[{host}]' if ':' in host else host}:{port}",
        flush=True,
    )
    uvicorn.run(
        create_app(server),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=drain_seconds,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )
