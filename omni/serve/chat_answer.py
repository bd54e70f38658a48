"""A chat's answers as one JSON body."""

from __future__ import annotations

from collections.abc import Hashable

import numpy as np

from omni.inference.request import Finished, Reason, Request
from omni.sequence import Audio, Text
from omni.serve.answers import (
    base64_of,
    clips_of,
    data_url,
    logprobs_of,
    new_id,
    now,
    pictures_of,
    text_of,
)
from omni.serve.chat_plan import hearing
from omni.serve.counts import chat_usage, counts_of
from omni.serve.local import Job
from omni.serve.schema.answer import (
    AnswerAudio,
    AnswerMessage,
    AnswerPicture,
    ChatCompletion,
    Choice,
    ChoiceLogprobs,
    FinishReason,
    PictureUrl,
    Usage,
)
from omni.serve.schema.chat import ChatRequest
from omni.serve.server import Server
from omni.serve.sound import encode_sound


def finish_reason(reason: Reason) -> FinishReason:
    """Why an answer is over, in OpenAI's words."""
    return "length" if reason == "length" else "stop"


def joined(clips: list[Audio]) -> Audio | None:
    """All clips of an answer as one; ``None`` where it has none."""
    if len(clips) < 2:
        return clips[0] if clips else None
    codes = [clip.codes for clip in clips if clip.codes is not None]
    waveform_W = np.concatenate([clip.waveform for clip in clips])
    return Audio(waveform_W, clips[0].sample_rate, codes=np.concatenate(codes) if codes else None)


def usage_of(job: Job) -> Usage:
    """Tokens of all answers; a transcript counts as text that was written, its prompt does not count."""
    counts: dict[Hashable, tuple] = {tag: counts_of(handle) for tag, handle in job.handles.items()}
    return chat_usage(counts[0][0], (written for _, written in counts.values()))


async def whole_answer(
    server: Server, job: Job, body: ChatRequest, requests: list[Request]
) -> ChatCompletion:
    """Ask, wait for all answers, and for transcripts of spoken ones."""
    for index, request in enumerate(requests):
        await job.ask(index, request)
    answers = await job.results()
    clips = {index: joined(clips_of(answers[index])) for index in range(len(requests))}
    spoken = {index: clip for index, clip in clips.items() if clip is not None}
    for index, clip in spoken.items():
        await job.ask(("heard", index), hearing(clip, server.config.prompts, server.config.limits))
    heard = await job.results()
    choices = [
        _choice(server, job, body, index, answers[index], spoken.get(index), heard.get(("heard", index)))
        for index in range(len(requests))
    ]
    return ChatCompletion(
        id=new_id("chatcmpl"),
        created=now(),
        model=body.model,
        choices=choices,
        usage=usage_of(job),
        system_fingerprint=job.model.fingerprint,
    )


def _choice(
    server: Server,
    job: Job,
    body: ChatRequest,
    index: int,
    answer: Finished,
    clip: Audio | None,
    heard: Finished | None,
) -> Choice:
    texts = any(isinstance(segment, Text) for segment in answer.segments)
    pictures = [
        AnswerPicture(index=number, image_url=PictureUrl(url=data_url(picture)))
        for number, picture in enumerate(pictures_of(answer))
    ]
    logprobs = None
    if body.logprobs:
        logprobs = ChoiceLogprobs(content=logprobs_of(job.model.layout, answer.logprobs))
    audio = None
    if clip is not None and heard is not None:
        assert body.audio is not None, body.modalities
        id_ = new_id("audio")
        audio = AnswerAudio(
            id=id_,
            data=base64_of(encode_sound(clip.waveform, clip.sample_rate, body.audio.format)),
            expires_at=server.clips.keep(id_, clip),
            transcript=text_of(heard),
        )
    content = text_of(answer) if texts or not (audio or pictures) else None
    return Choice(
        index=index,
        message=AnswerMessage(content=content, audio=audio, images=pictures or None),
        logprobs=logprobs,
        finish_reason=finish_reason(answer.reason),
    )
