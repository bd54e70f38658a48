"""Errors as OpenAI's API says them: ``{"error": {"message", "type", "param", "code"}}``, and never a stack trace."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.responses import Response

INVALID = "invalid_request_error"
SERVER = "server_error"
LONGEST_MESSAGE = 1_000
"""Characters; messages quote what was sent."""


class ErrorDetail(BaseModel):
    """What is wrong."""

    message: str
    type: str
    param: str | None = None
    code: str | None = None


class ErrorBody(BaseModel):
    """Body of every answer that is none."""

    error: ErrorDetail


class ApiError(HTTPException):
    """An error for the client. It is an ``HTTPException``, so FastAPI lets it pass wherever it is raised."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        type_: str = INVALID,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, message, dict(headers) if headers else None)
        self.message, self.param, self.code, self.type = message[:LONGEST_MESSAGE], param, code, type_

    def body(self) -> dict[str, Any]:
        """The error as JSON."""
        return error_body(self.message, self.type, self.param, self.code)

    def response(self) -> Response:
        """The error as a response."""
        return error_response(self.status_code, self.body(), self.headers)


def invalid(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """A request that can't be answered as it is: status 400."""
    return ApiError(400, message, param=param, code=code)


def error_body(message: str, type_: str, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """The one form of errors."""
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def error_response(status: int, body: dict[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """An error as a response, in ASCII: what was sent and is quoted may be no valid Unicode."""
    return Response(json.dumps(body), status, headers, media_type="application/json")


def failed() -> ApiError:
    """Something broke here; the log knows what."""
    return ApiError(500, "the server failed; its log says why", type_=SERVER, code="internal_error")


def add_error_handlers(app: FastAPI) -> None:
    """Let every error of ``app`` take the one form."""
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(Exception, _failure)


def _http_error(_: Request, error: Exception) -> Response:
    if isinstance(error, ApiError):
        return error.response()
    assert isinstance(error, HTTPException), error
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code)
    type_ = SERVER if error.status_code >= 500 else INVALID
    return error_response(error.status_code, error_body(str(error.detail), type_, None, code), error.headers)


def _validation_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), error
    # of a value that fits no type of a union, the type that came farthest knows best
    found = max(error.errors(), key=lambda one: (len(one["loc"]), not one["type"].endswith("_type")))
    param = _place(found["loc"], error.body)
    missing = found["type"] == "json_invalid" or param is None
    where = "" if missing else f"{param}: "
    reason = found.get("ctx", {}).get("error") if found["type"] == "json_invalid" else None
    message = f"the body is no JSON: {reason}" if reason else f"{where}{found['msg']}"
    code = "unknown_parameter" if found["type"] == "extra_forbidden" else None
    return invalid(message, None if missing else param, code).response()


def _place(loc: tuple[Any, ...], body: Any) -> str | None:
    """The field as a client writes it, such as ``messages[0].content``; names of types in between are left out."""
    place, here = "", body if isinstance(body, dict) else {}
    steps = loc[1:] if loc and loc[0] in ("body", "query", "path", "header") else loc
    for at, step in enumerate(steps):
        inside: Any = None
        if isinstance(here, dict) and isinstance(step, str) and (step in here or at == len(steps) - 1):
            place += f".{step}" if place else step
            inside = here.get(step)
        elif isinstance(here, list) and isinstance(step, int):
            place += f"[{step}]"
            inside = here[step] if step < len(here) else None
        elif not isinstance(here, dict | list):
            break
        else:
            continue
        here = inside
    return place or None


def _failure(_: Request, __: Exception) -> Response:
    return failed().response()  # the server logs what it was
