"""``POST /v1/audio/speech``."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator

from fastapi import APIRouter, Request
from starlette.responses import Response

from omni.inference.request import Request as Asked
from omni.inference.request import SoundPiece
from omni.sequence import Text
from omni.serve.answers import base64_of, clips_of, options_of
from omni.serve.chat_answer import joined
from omni.serve.counts import counts_of, media_usage
from omni.serve.local import Job
from omni.serve.routes import SwitchedRoute, answers
from omni.serve.schema.audio import SpeechRequest
from omni.serve.server import server_of
from omni.serve.settings import Limits, Prompts
from omni.serve.sound import MEDIA_TYPES, encode_sound, encoder_of
from omni.serve.streaming import AnswerStream, sse, unless_gone, with_errors

router = APIRouter(route_class=SwitchedRoute)
GROWING = ("wav", "pcm")
"""Formats that are sent while they are said."""
TYPES = tuple(sorted(set(MEDIA_TYPES.values())))


@router.post(
    "/v1/audio/speech",
    response_class=Response,
    responses=answers(None, streams=True, types=TYPES),
)
async def create_speech(request: Request, body: SpeechRequest) -> Response:
    """Say a text."""
    began, server = time.monotonic(), server_of(request)
    format_ = body.response_format or "mp3"
    streams = format_ in GROWING or body.stream_format == "sse"
    job = server.local(body.model).job(1, began)
    try:
        await job.ask(0, _asked(body, server.config.prompts, server.config.limits, streams))
        if body.stream_format == "sse":
            return AnswerStream(job, with_errors(_events(job, format_)))
        if streams:
            first, rest = await unless_gone(request, _begun(_pieces(job, format_)))
            return AnswerStream(job, _resumed(first, rest), MEDIA_TYPES[format_])
        content = await unless_gone(request, _whole(job, format_))
        job.close()
        return Response(content, media_type=MEDIA_TYPES[format_])
    except BaseException:
        job.close()
        raise


def _asked(body: SpeechRequest, prompts: Prompts, limits: Limits, streams: bool) -> Asked:
    settings = {
        "audio_temperature": body.audio_temperature,
        "audio_guidance": body.audio_guidance,
        "max_audio_seconds": limits.spoken_seconds,
        "max_text": limits.max_tokens,
    }
    prompt = [Text(prompts.say.replace("{text}", body.input))]
    return Asked(prompt=prompt, want="audio", options=options_of(settings, body.seed), stream=streams)


async def _whole(job: Job, format_: str) -> bytes:
    clip = joined(clips_of((await job.results())[0]))
    assert clip is not None, format_
    return encode_sound(clip.waveform, clip.sample_rate, format_)


async def _pieces(job: Job, format_: str) -> AsyncIterator[bytes]:
    """Bytes of the file as they come."""
    encoder = None
    async for _, told in job.events():
        if isinstance(told.event, SoundPiece):
            encoder = encoder or encoder_of(format_, told.event.sample_rate)
            if content := encoder.push(told.event.waveform):
                yield content
    if encoder is not None:
        yield encoder.flush()


async def _begun(pieces: AsyncIterator[bytes]) -> tuple[bytes, AsyncIterator[bytes]]:
    """The first piece, and the rest: what fails before it is still told by the status."""
    return await anext(pieces, b""), pieces


async def _resumed(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    async for piece in rest:
        yield piece


async def _events(job: Job, format_: str) -> AsyncIterator[bytes]:
    async for content in _pieces(job, format_):
        if content:
            yield sse({"type": "speech.audio.delta", "audio": base64_of(content)}, "speech.audio.delta")
    read, written = counts_of(job.handles[0])
    usage = media_usage(read, [written])
    counted = {name: getattr(usage, name) for name in ("input_tokens", "output_tokens", "total_tokens")}
    yield sse({"type": "speech.audio.done", "usage": counted}, "speech.audio.done")
