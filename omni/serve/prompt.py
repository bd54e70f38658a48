"""Messages of a chat as segments of a prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from collections.abc import Sequence as Seq
from concurrent.futures import Executor
from dataclasses import replace
from typing import TypeVar

from omni.sequence import Role, Segment, Text
from omni.serve.clips import Clips
from omni.serve.errors import invalid
from omni.serve.fetch import Fetcher
from omni.serve.media import clip_of, from_base64, picture_of
from omni.serve.schema.messages import (
    AssistantMessage,
    AudioPart,
    ImagePart,
    Message,
    RefusalPart,
    TextPart,
)
from omni.serve.settings import Limits

ROLES: dict[str, Role] = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
Made = TypeVar("Made")


class PromptReader:
    """Reads messages. Files are decoded by ``pool``, so that the event loop goes on."""

    def __init__(self, limits: Limits, fetch: Fetcher, clips: Clips, pool: Executor) -> None:
        self.limits, self.fetch, self.clips, self.pool = limits, fetch, clips, pool

    async def __call__(self, messages: list[Message]) -> list[Segment]:
        """The segments of all messages, in their order.

        Raises:
            ApiError: 400 for too many files, or one that can't be used; names the place.
        """
        count = sum(
            isinstance(part, ImagePart | AudioPart)
            for message in messages
            if isinstance(message.content, list)
            for part in message.content
        )
        if count > self.limits.media:
            message_ = f"{count} pictures and clips, at most {self.limits.media} are taken in one request"
            raise invalid(message_, "messages", "too_many_media")
        segments: list[Segment] = []
        for number, message in enumerate(messages):
            segments += await self._message(message, f"messages[{number}]")
        return segments

    async def _message(self, message: Message, place: str) -> list[Segment]:
        role, found = ROLES[message.role], list[Segment]()
        if isinstance(message.content, str):
            found.append(Text(text=message.content, role=role))
        for number, part in enumerate(message.content if isinstance(message.content, list) else ()):
            found.append(await self._part(part, role, f"{place}.content[{number}]"))
        found = media_first(found)
        if isinstance(message, AssistantMessage):
            if message.refusal is not None:
                found.append(Text(text=message.refusal, role=role))
            if message.audio is not None:
                clip = self.clips.find(message.audio.id, f"{place}.audio.id")
                found.append(in_turn_of(clip, role))
            if not found:
                raise invalid("an assistant's message needs content or audio", place)
        return found

    async def _part(
        self, part: TextPart | RefusalPart | ImagePart | AudioPart, role: Role, place: str
    ) -> Segment:
        if isinstance(part, TextPart):
            return Text(text=part.text, role=role)
        if isinstance(part, RefusalPart):
            return Text(text=part.refusal, role=role)
        if isinstance(part, ImagePart):
            param = f"{place}.image_url.url"
            content = await self.fetch(part.image_url.url, param)
            return in_turn_of(await self.in_pool(lambda: picture_of(content, self.limits, param)), role)
        param, sound = f"{place}.input_audio.data", part.input_audio
        content = from_base64(sound.data, param)
        return in_turn_of(
            await self.in_pool(lambda: clip_of(content, self.limits, param, sound.format)), role
        )

    async def in_pool(self, make: Callable[[], Made]) -> Made:
        """The result of ``make``, run by a thread of the pool."""
        return await asyncio.get_running_loop().run_in_executor(self.pool, make)


def media_first(segments: Seq[Segment]) -> list[Segment]:
    """What a text that comes before all pictures and clips of its message is about comes before it.

    OpenAI's clients write the question first, and models are trained on it behind what it is about. Between pictures
    and clips, or where a text follows, the order says something and stays.
    """
    texts = [segment for segment in segments if isinstance(segment, Text)]
    media = [segment for segment in segments if not isinstance(segment, Text)]
    return [*media, *texts] if list(segments) == [*texts, *media] else list(segments)


def in_turn_of(segment: Segment, role: Role) -> Segment:
    """The segment in this role's turn."""
    return replace(segment, role=role)
