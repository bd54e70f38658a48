"""The app: routes, and what stands in front of them.

A new group of routes is a module with a ``router`` in ``ROUTERS``; what it keeps goes into ``Server``. The page is
the files of ``static/``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import FastAPI, Request
from starlette.responses import Response

from omni.serve import chat, images, models, speech, transcriptions, votes
from omni.serve.errors import add_error_handlers
from omni.serve.guard import BodyCap, Guard
from omni.serve.local import LocalModel
from omni.serve.metrics import Measured
from omni.serve.server import Server
from omni.serve.static_files import STATIC, add_static_files, static_files
from omni.serve.streaming import ClientGoneError

ROUTERS = (models.router, chat.router, images.router, speech.router, transcriptions.router, votes.router)
CLIENT_GONE = 499
"""Status in logs of a client that left; it never gets it."""


def create_app(server: Server, static: Path = STATIC) -> FastAPI:
    """The app of a server; its models start and stop with it."""

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        for model in server.distinct:
            model.start()
        try:
            yield
        finally:
            for model in server.distinct:
                if isinstance(model, LocalModel):
                    model.stop()
                else:
                    await model.aclose()
            server.pool.shutdown()

    # no pages of documentation: theirs load scripts from elsewhere
    app = FastAPI(title="omni", version="1", lifespan=running, docs_url=None, redoc_url=None)
    app.state.server = server
    for router in ROUTERS:
        app.include_router(router)
    add_error_handlers(app)
    app.add_exception_handler(ClientGoneError, _gone)
    files = static_files(static)
    add_static_files(app, files)
    limits = server.config.limits
    app.add_middleware(BodyCap, most_bytes=int(limits.body_mib * (1 << 20)))
    app.add_middleware(Guard, config=server.config, open_paths=list(files))
    paths = frozenset(str(getattr(route, "path", "")) for router in ROUTERS for route in router.routes)
    app.add_middleware(Measured, metrics=server.metrics, paths=paths)
    return app


async def _gone(_: Request, __: Exception) -> Response:
    return Response(status_code=CLIENT_GONE)
