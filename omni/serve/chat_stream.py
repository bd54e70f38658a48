"""A chat's answers as server-sent events: one id, the role first, one ``finish_reason`` for each index, ``[DONE]``."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

from omni.inference.request import Finished, Picture, Reason, Request, SoundPiece, TextPiece
from omni.sequence import Audio
from omni.serve.answers import base64_of, clips_of, data_url, logprobs_of, new_id, now, text_of
from omni.serve.chat_answer import finish_reason, joined, usage_of
from omni.serve.chat_plan import hearing
from omni.serve.local import Job, Told
from omni.serve.schema.chat import ChatRequest
from omni.serve.server import Server
from omni.serve.sound import SoundEncoder, encoder_of
from omni.serve.streaming import DONE, sse


class _Growing:
    """What of one answer was sent so far."""

    def __init__(self) -> None:
        self.pictures = 0
        self.audio_id = new_id("audio")
        self.encoder: SoundEncoder | None = None
        self.reason: Reason = "end"
        self.clip: Audio | None = None


class ChatStream:
    """Makes the events of one request; its answers were asked for already, under the tags 0 to n - 1."""

    def __init__(self, server: Server, job: Job, body: ChatRequest, requests: list[Request]) -> None:
        self.server, self.job, self.body = server, job, body
        self.growing = [_Growing() for _ in requests]
        self.id, self.created = new_id("chatcmpl"), now()
        options = body.stream_options
        self.tells_usage = options is not None and bool(options.include_usage)
        self.first = True

    async def events(self) -> AsyncIterator[bytes]:
        """All events.

        Raises:
            ApiError: as of ``Job.events``.
        """
        for index in range(len(self.growing)):
            yield self._chunk(index, {"role": "assistant", "content": "", "refusal": None})
        async for tag, told in self.job.events():
            if self.first:
                self.first = False
                waited = time.monotonic() - self.job.began
                self.job.model.metrics.first.labels(self.job.model.name).observe(waited)
            if isinstance(tag, int):
                for piece in self._pieces(tag, told):
                    yield piece
                if isinstance(told.event, Finished):
                    async for piece in self._ended(tag, told.event):
                        yield piece
            elif isinstance(tag, tuple) and isinstance(told.event, Finished):
                for piece in self._heard(int(tag[1]), told.event):
                    yield piece
        if self.tells_usage:
            yield sse(self._envelope([], usage_of(self.job).model_dump()))
        yield DONE

    def _pieces(self, index: int, told: Told) -> list[bytes]:
        """Events for what is new in an answer."""
        growing, event, delta = self.growing[index], told.event, dict[str, Any]()
        if isinstance(event, TextPiece):
            delta["content"] = event.text
        elif isinstance(event, Picture):
            picture = {
                "type": "image_url",
                "index": growing.pictures,
                "image_url": {"url": data_url(event.image)},
            }
            growing.pictures += 1
            delta["images"] = [picture]
        elif isinstance(event, SoundPiece) and self.body.audio is not None:
            growing.encoder = growing.encoder or encoder_of(self.body.audio.format, event.sample_rate)
            if data := growing.encoder.push(event.waveform):
                delta["audio"] = {"id": growing.audio_id, "data": base64_of(data)}
        logprobs = None
        if self.body.logprobs and (said := logprobs_of(self.job.model.layout, told.logprobs)):
            logprobs = {"content": [one.model_dump() for one in said], "refusal": None}
            delta = delta or {"content": ""}
        return [self._chunk(index, delta, logprobs)] if delta else []

    async def _ended(self, index: int, answer: Finished) -> AsyncIterator[bytes]:
        """The end of an answer; of a spoken one only the sound's: it ends with its transcript."""
        growing = self.growing[index]
        growing.reason, growing.clip = answer.reason, joined(clips_of(answer))
        if growing.encoder is not None and (data := growing.encoder.flush()):
            yield self._chunk(index, {"audio": {"id": growing.audio_id, "data": base64_of(data)}})
        if growing.clip is None:
            yield self._chunk(index, {}, reason=growing.reason)
        else:
            config = self.server.config
            await self.job.ask(("heard", index), hearing(growing.clip, config.prompts, config.limits))

    def _heard(self, index: int, heard: Finished) -> list[bytes]:
        growing = self.growing[index]
        assert growing.clip is not None, index
        until = self.server.clips.keep(growing.audio_id, growing.clip)
        id_ = growing.audio_id
        return [
            self._chunk(index, {"audio": {"id": id_, "transcript": text_of(heard)}}),
            self._chunk(index, {"audio": {"id": id_, "expires_at": until}}),
            self._chunk(index, {}, reason=growing.reason),
        ]

    def _chunk(
        self,
        index: int,
        delta: dict[str, Any],
        logprobs: dict[str, Any] | None = None,
        reason: Reason | None = None,
    ) -> bytes:
        said = finish_reason(reason) if reason is not None else None
        choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": said}
        return sse(self._envelope([choice], None))

    def _envelope(self, choices: list[dict[str, Any]], usage: dict[str, Any] | None) -> dict[str, Any]:
        envelope = {
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.created,
            "model": self.body.model,
            "service_tier": "default",
            "system_fingerprint": self.job.model.fingerprint,
            "choices": choices,
        }
        return envelope | {"usage": usage} if self.tells_usage else envelope
