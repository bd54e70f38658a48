"""A remote OpenAI-compatible endpoint under a name of ours: requests and answers pass through as they are."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from omni.serve.endpoints import Endpoint
from omni.serve.errors import SERVER, ApiError, error_body, error_response

CONNECT_SECONDS = 10.0
PASSED_ON = ("content-type", "retry-after", "x-request-id")
"""Headers of an answer that the client gets."""


class RemoteModel:
    """An endpoint."""

    def __init__(
        self, endpoint: Endpoint, seconds: float, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        """``seconds`` is how long it may be silent; ``transport`` stands for the network in tests."""
        self.endpoint, self.name, self.owner = endpoint, endpoint.name, "endpoint"
        self.created = int(time.time())
        self.seconds = seconds
        self._transport = transport
        self._client: httpx2.AsyncClient | None = None

    def start(self) -> None:
        """Open the connections' pool."""
        timeout = httpx2.Timeout(self.seconds, connect=CONNECT_SECONDS)
        self._client = httpx2.AsyncClient(
            timeout=timeout, trust_env=False, follow_redirects=False, transport=self._transport
        )

    async def aclose(self) -> None:
        """Close it."""
        if self._client is not None:
            await self._client.aclose()

    async def forward(self, request: Request) -> Response:
        """Ask the endpoint what a client asked for, under the endpoint's own name of the model.

        The client's key stays here. Where it leaves, the endpoint's connection is closed.

        Raises:
            ApiError: 502 or 504, the endpoint can't be reached or is silent.
        """
        assert self._client is not None, self.name
        path = request.url.path.removeprefix("/v1")
        asked = self._client.build_request(
            "POST", self.endpoint.url + path, headers=self.endpoint.headers(), **await self._content(request)
        )
        try:
            response = await self._client.send(asked, stream=True)
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from None
        if response.status_code >= 400:
            return await self._refused(response)
        headers = {name: response.headers[name] for name in PASSED_ON if name in response.headers}
        return _Passed(response, self._pieces(response), headers)

    async def _content(self, request: Request) -> dict[str, Any]:
        model = self.endpoint.model
        if "multipart/form-data" in request.headers.get("content-type", ""):
            form = await request.form()
            fields: dict[str, Any] = {}
            files = []
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    files.append((name, (value.filename, await value.read(), value.content_type)))
                else:
                    fields.setdefault(name, []).append(value)
            return {"data": fields | {"model": model}, "files": files}
        return {"json": await request.json() | {"model": model}}

    async def _pieces(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        try:
            async for piece in response.aiter_bytes():
                yield piece
        except httpx2.HTTPError as error:
            failure = self._unreachable(error)
            if "text/event-stream" not in response.headers.get("content-type", ""):
                raise failure from None
            yield f"data: {json.dumps(failure.body())}\n\n".encode()

    async def _refused(self, response: httpx2.Response) -> Response:
        try:
            content = await response.aread()
        except httpx2.HTTPError as error:
            raise self._unreachable(error) from None
        finally:
            await response.aclose()
        headers = {name: response.headers[name] for name in ("retry-after",) if name in response.headers}
        try:
            body = json.loads(content)
        except ValueError:
            body = None
        if isinstance(body, dict) and isinstance(body.get("error"), dict):
            return error_response(response.status_code, body, headers)
        message = f"the endpoint {self.name!r} answers with status {response.status_code}"
        status = response.status_code if response.status_code < 500 else 502
        return error_response(status, error_body(message, SERVER, None, "endpoint_failed"), headers)

    def _unreachable(self, error: httpx2.HTTPError) -> ApiError:
        late = isinstance(error, httpx2.TimeoutException)
        message = f"the endpoint {self.name!r} {'is silent' if late else 'can not be reached'}"
        code = "endpoint_timeout" if late else "endpoint_unreachable"
        return ApiError(504 if late else 502, f"{message} ({type(error).__name__})", type_=SERVER, code=code)


class _Passed(StreamingResponse):
    """An answer on its way through; the endpoint's connection ends with the client's."""

    def __init__(
        self, source: httpx2.Response, pieces: AsyncIterator[bytes], headers: dict[str, str]
    ) -> None:
        super().__init__(pieces, source.status_code, headers)
        self.source = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            await self.source.aclose()
