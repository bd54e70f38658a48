"""``POST /v1/audio/transcriptions``."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Annotated, Any

from fastapi import APIRouter, Form, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from omni.inference.request import Finished, TextPiece
from omni.sequence import Audio
from omni.serve.answers import logprobs_of, text_of
from omni.serve.chat_plan import hearing
from omni.serve.counts import counts_of, total
from omni.serve.errors import invalid
from omni.serve.local import Job
from omni.serve.media import clip_of
from omni.serve.routes import SwitchedRoute, answers
from omni.serve.schema.audio import DurationUsage, Transcription, TranscriptionRequest, VerboseTranscription
from omni.serve.schema.base import MediaUsage
from omni.serve.server import server_of
from omni.serve.streaming import AnswerStream, sse, unless_gone, with_errors

router = APIRouter(route_class=SwitchedRoute)


@router.post(
    "/v1/audio/transcriptions", responses=answers(Transcription, streams=True, types=("text/plain",))
)
async def create_transcription(
    request: Request, body: Annotated[TranscriptionRequest, Form(media_type="multipart/form-data")]
) -> Response:
    """Write down what is said in a clip."""
    began, server = time.monotonic(), server_of(request)
    limits, prompts = server.config.limits, server.config.prompts
    if body.response_format == "verbose_json" and "word" in body.timestamp_granularities:
        raise invalid("words have no timestamps here", "timestamp_granularities", "unsupported_value")
    job = server.local(body.model).job(1, began)
    try:
        content = await body.file.read()
        clip = await unless_gone(
            request, server.read_prompt.in_pool(lambda: clip_of(content, limits, "file"))
        )
        asked = hearing(clip, prompts, limits)
        options = replace(asked.options, temperature=body.temperature, logprobs=bool(body.include))
        await job.ask(0, replace(asked, options=options, stream=body.stream))
        if body.stream:
            return AnswerStream(job, with_errors(_events(job, body)))
        finished = (await unless_gone(request, job.results()))[0]
        job.close()
        return _response(job, body, finished, clip)
    except BaseException:
        job.close()
        raise


def _response(job: Job, body: TranscriptionRequest, finished: Finished, clip: Audio) -> Response:
    text, end = text_of(finished), clip.seconds
    match body.response_format:
        case "text":
            return PlainTextResponse(f"{text}\n")
        case "srt":
            return PlainTextResponse(f"1\n{_clock(0.0, ',')} --> {_clock(end, ',')}\n{text}\n\n")
        case "vtt":
            return PlainTextResponse(f"WEBVTT\n\n{_clock(0.0, '.')} --> {_clock(end, '.')}\n{text}\n\n")
        case "verbose_json":
            verbose = VerboseTranscription(duration=end, text=text, usage=DurationUsage(seconds=end))
            return JSONResponse(verbose.model_dump(mode="json"))
    answer = Transcription(text=text, usage=_usage(job))
    described = answer.model_dump(mode="json", exclude_none=True)
    return JSONResponse(described | _logprobs(job, body, finished))


async def _events(job: Job, body: TranscriptionRequest) -> AsyncIterator[bytes]:
    async for _, told in job.events():
        if isinstance(told.event, TextPiece):
            name = "transcript.text.delta"
            yield sse({"type": name, "delta": told.event.text}, name)
        elif isinstance(told.event, Finished):
            name = "transcript.text.done"
            usage = _usage(job).model_dump(exclude_none=True)
            done = {"type": name, "text": text_of(told.event), "usage": usage}
            yield sse(done | _logprobs(job, body, told.event), name)


def _logprobs(job: Job, body: TranscriptionRequest, finished: Finished) -> dict[str, Any]:
    if not body.include:
        return {}
    said = logprobs_of(job.model.layout, finished.logprobs)
    return {"logprobs": [one.model_dump(exclude={"top_logprobs"}) for one in said]}


def _usage(job: Job) -> MediaUsage:
    read, written = counts_of(job.handles[0])
    return MediaUsage(
        input_tokens=total(read),
        output_tokens=total(written),
        total_tokens=total(read) + total(written),
        input_token_details=read,
    )


def _clock(seconds: float, mark: str) -> str:
    """Hours, minutes, seconds and milliseconds, as subtitles write them."""
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02}{mark}{rest % 1000:03}"
