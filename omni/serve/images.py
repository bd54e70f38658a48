"""``POST /v1/images/generations``."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import get_args

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from omni.inference.request import Finished
from omni.inference.request import Request as Asked
from omni.sequence import Text
from omni.serve.answers import base64_of, now, options_of, pictures_of, varied
from omni.serve.counts import counts_of, media_usage
from omni.serve.errors import invalid
from omni.serve.local import Job
from omni.serve.pictures import encode_picture
from omni.serve.routes import SwitchedRoute, answers
from omni.serve.schema.base import MediaUsage
from omni.serve.schema.images import ImageData, ImagesAnswer, ImagesRequest, OfficialSize
from omni.serve.server import server_of
from omni.serve.settings import Limits, Prompts
from omni.serve.streaming import AnswerStream, sse, unless_gone, with_errors

router = APIRouter(route_class=SwitchedRoute)


@router.post("/v1/images/generations", responses=answers(ImagesAnswer, streams=True))
async def create_images(request: Request, body: ImagesRequest) -> Response:
    """Draw pictures."""
    began, server = time.monotonic(), server_of(request)
    limits = server.config.limits
    size = _size(body, limits)
    job = server.local(body.model).job(body.n or 1, began)
    try:
        for index, asked in enumerate(_requests(body, server.config.prompts, limits)):
            await job.ask(index, asked)
        if body.stream:
            return AnswerStream(job, with_errors(_events(job, body, size)))
        answer = await unless_gone(request, _answer(job, body, size))
        job.close()
        return JSONResponse(answer.model_dump(mode="json", exclude_none=True))
    except BaseException:
        job.close()
        raise


def _size(body: ImagesRequest, limits: Limits) -> tuple[int, int] | None:
    """Width and height of the files; ``None`` for that of the drawing."""
    if body.size in (None, "auto"):
        return None
    width, _, height = str(body.size).partition("x")
    if int(width) * int(height) > limits.megapixels * 1_000_000:
        raise invalid(f"size {body.size} has more than {limits.megapixels:g} million pixels", "size")
    return int(width), int(height)


def _requests(body: ImagesRequest, prompts: Prompts, limits: Limits) -> list[Asked]:
    settings = {
        "image_steps": body.image_steps,
        "image_guidance": body.image_guidance,
        "max_text": limits.max_tokens,
    }
    options = options_of(settings, body.seed)
    prompt = [Text(prompts.draw.replace("{text}", body.prompt))]
    return [Asked(prompt=prompt, want="image", options=one) for one in varied(options, body.n or 1)]


async def _answer(job: Job, body: ImagesRequest, size: tuple[int, int] | None) -> ImagesAnswer:
    found = await job.results()
    format_ = body.output_format or "png"
    contents = [_file(found[index], body, size) for index in range(body.n or 1)]
    if body.response_format == "url":
        data = [ImageData(url=f"data:image/{format_};base64,{content}") for content in contents]
    else:
        data = [ImageData(b64_json=content) for content in contents]
    known = next((one for one in get_args(OfficialSize) if one == body.size), None)
    return ImagesAnswer(created=now(), data=data, output_format=format_, size=known, usage=_usage(job))


async def _events(job: Job, body: ImagesRequest, size: tuple[int, int] | None) -> AsyncIterator[bytes]:
    """One event for each picture, when it is done; no unfinished ones come before it."""
    async for _, told in job.events():
        if isinstance(told.event, Finished):
            name = "image_generation.completed"
            event = {
                "type": name,
                "b64_json": _file(told.event, body, size),
                "created_at": now(),
                "background": "opaque",
                "output_format": body.output_format or "png",
                "quality": body.quality or "auto",
                "size": body.size or "auto",
                "usage": _usage(job).model_dump(exclude_none=True),
            }
            yield sse(event, name)


def _file(finished: Finished, body: ImagesRequest, size: tuple[int, int] | None) -> str:
    (drawn,) = pictures_of(finished)
    return base64_of(encode_picture(drawn, body.output_format or "png", size, body.output_compression))


def _usage(job: Job) -> MediaUsage:
    counts = [counts_of(handle) for handle in job.handles.values()]
    return media_usage(counts[0][0], (written for _, written in counts))
