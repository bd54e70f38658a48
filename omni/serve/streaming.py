"""Responses that grow, and clients that leave before they are whole."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from omni.serve.errors import ApiError, failed
from omni.serve.local import Job

Result = TypeVar("Result")
EVENTS = "text/event-stream"
DONE = b"data: [DONE]\n\n"


def sse(data: dict[str, Any], event: str | None = None) -> bytes:
    """One server-sent event."""
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {json.dumps(data, separators=(',', ':'))}\n\n".encode()


class ClientGoneError(Exception):
    """Nobody waits for the answer any more."""


async def unless_gone(request: Request, work: Awaitable[Result]) -> Result:
    """The result of ``work``, which is cancelled as soon as the client closes the connection.

    Raises:
        ClientGoneError: the client has.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_until_gone(request))
    try:
        await asyncio.wait({task, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        return task.result()
    finally:
        for unfinished in (task, leaving):
            unfinished.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await leaving
        if not task.done():
            with contextlib.suppress(BaseException):
                await task


async def _until_gone(request: Request) -> None:
    """Return when the connection is closed; the body was read before."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


class AnswerStream(StreamingResponse):
    """A response made of the pieces of a job's answers; the job ends with it, however it ends."""

    def __init__(self, job: Job, pieces: AsyncIterator[bytes], media_type: str = EVENTS) -> None:
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(pieces, headers=headers, media_type=media_type)
        self.job = job

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the pieces until they end or the client leaves."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.job.close()


async def with_errors(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The pieces of an event stream; what fails on the way is told as its last event."""
    try:
        async for piece in pieces:
            yield piece
    except ApiError as error:
        yield sse(error.body())
    except Exception:
        yield sse(failed().body())
        raise
