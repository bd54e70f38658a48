"""Routes that a checkpoint answers here, and a remote endpoint there: ``model`` decides."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import BaseModel
from starlette.responses import Response

from omni.serve.errors import ErrorBody
from omni.serve.remote import RemoteModel
from omni.serve.server import server_of
from omni.serve.streaming import EVENTS

REASONS = {
    400: "The request can't be answered as it is.",
    401: "The API key is missing or wrong.",
    403: "Without an API key only this machine is served.",
    404: "There is no such model.",
    413: "The body is too large.",
    429: "The queue is full; see `Retry-After`.",
    500: "The server failed.",
    502: "A remote endpoint can't be reached.",
    504: "The answer took longer than allowed.",
}


def answers(
    model: type[BaseModel] | None, *, streams: bool = False, types: tuple[str, ...] = ()
) -> dict[int | str, dict[str, Any]]:
    """What a route may answer, for the API's own description."""
    content: dict[str, Any] = {type_: {} for type_ in types}
    if streams:
        content[EVENTS] = {}
    found: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorBody, "description": reason} for status, reason in REASONS.items()
    }
    found[200] = {"description": "The answer.", "content": content}
    if model is not None:
        found[200]["model"] = model
    return found


class SwitchedRoute(APIRoute):
    """Hands requests for remote endpoints on as they are; all others are read, checked and answered here."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of the route."""
        here = super().get_route_handler()

        async def handler(request: Request) -> Response:
            name = await _asked_model(request)
            if name is not None and isinstance(model := server_of(request).find(name), RemoteModel):
                return await model.forward(request)
            return await here(request)

        return handler


async def _asked_model(request: Request) -> str | None:
    """What ``model`` says; ``None`` where it can't be read, which is then told by who reads the rest."""
    await request.body()
    type_ = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if type_ == "multipart/form-data":
            name: Any = (await request.form()).get("model")
        elif type_ == "application/json":
            body = await request.json()
            name = body.get("model") if isinstance(body, dict) else None
        else:
            name = None
    except Exception:
        return None
    return name if isinstance(name, str) else None
