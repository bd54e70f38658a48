"""The static page at ``/``: the files of a folder, each a route of its own, so that nothing else can be asked for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import FileResponse, Response

STATIC = Path(__file__).parent / "static"
INDEX = "index.html"
HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data: blob:; media-src 'self' data: blob:; "
    "connect-src 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""Of every file: the page loads nothing from elsewhere."""


def static_files(folder: Path = STATIC) -> dict[str, Path]:
    """Path of each file below ``folder`` in URLs; ``index.html`` is also its folder."""
    found: dict[str, Path] = {}
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        path = "/" + file.relative_to(folder).as_posix()
        found[path] = file
        if file.name == INDEX:
            found[path.removesuffix(INDEX)] = file
    return found


def add_static_files(app: FastAPI, files: dict[str, Path]) -> None:
    """Serve the files."""
    for path, file in files.items():
        app.add_api_route(path, _sender(file), methods=["GET", "HEAD"], include_in_schema=False)


def _sender(file: Path) -> Callable[[Request], Coroutine[Any, Any, Response]]:
    async def send(_: Request) -> Response:
        return FileResponse(file, headers=HEADERS)

    return send
