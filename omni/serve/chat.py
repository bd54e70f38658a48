"""``POST /v1/chat/completions``."""

from __future__ import annotations

import time

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from omni.serve.chat_answer import whole_answer
from omni.serve.chat_plan import check, requests_of
from omni.serve.chat_stream import ChatStream
from omni.serve.routes import SwitchedRoute, answers
from omni.serve.schema.answer import ChatCompletion
from omni.serve.schema.chat import ChatRequest
from omni.serve.server import server_of
from omni.serve.streaming import AnswerStream, unless_gone, with_errors

router = APIRouter(route_class=SwitchedRoute)


@router.post("/v1/chat/completions", responses=answers(ChatCompletion, streams=True))
async def create_chat_completion(request: Request, body: ChatRequest) -> Response:
    """Answer a chat."""
    began, server = time.monotonic(), server_of(request)
    limits = server.config.limits
    check(body, limits)
    job = server.local(body.model).job(body.n or 1, began)
    try:
        prompt = await unless_gone(request, server.read_prompt(body.messages))
        requests = requests_of(body, prompt, job.model.layout, limits)
        if not body.stream:
            answer = await unless_gone(request, whole_answer(server, job, body, requests))
            job.close()
            return JSONResponse(answer.model_dump(mode="json"))
        for index, one in enumerate(requests):
            await job.ask(index, one)
        return AnswerStream(job, with_errors(ChatStream(server, job, body, requests).events()))
    except BaseException:
        job.close()
        raise
