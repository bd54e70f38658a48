"""Messages of a chat, as ``/v1/chat/completions`` takes them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field

from omni.serve.schema.base import UNUSED, JsonRequest


class TextPart(JsonRequest):
    """A piece of text."""

    type: Literal["text"]
    text: str


class ImageUrl(JsonRequest):
    """Where a picture is."""

    url: str
    """A ``data:image/…;base64,…`` URL; others only where the server allows the domain."""
    detail: Annotated[Literal["auto", "low", "high", "original"] | None, Field(description=UNUSED)] = None


class ImagePart(JsonRequest):
    """A picture."""

    type: Literal["image_url"]
    image_url: ImageUrl


class InputAudio(JsonRequest):
    """A clip."""

    data: str
    """Base64 of the file."""
    format: Literal["wav", "mp3"]


class AudioPart(JsonRequest):
    """A clip."""

    type: Literal["input_audio"]
    input_audio: InputAudio


class RefusalPart(JsonRequest):
    """What an assistant said instead of an answer; read as its text."""

    type: Literal["refusal"]
    refusal: str


Part = Annotated[TextPart | ImagePart | AudioPart, Discriminator("type")]
AssistantPart = Annotated[TextPart | RefusalPart | ImagePart | AudioPart, Discriminator("type")]
Name = Annotated[str | None, Field(description=UNUSED)]


class SystemMessage(JsonRequest):
    """What the assistant is told beforehand."""

    role: Literal["system", "developer"]
    content: str | Annotated[list[TextPart], Field(min_length=1)]
    name: Name = None


class UserMessage(JsonRequest):
    """What a user says and shows."""

    role: Literal["user"]
    content: str | Annotated[list[Part], Field(min_length=1)]
    name: Name = None


class AudioReference(JsonRequest):
    """A clip that this server said before."""

    id: str


class AssistantMessage(JsonRequest):
    """An earlier answer. With pictures and clips among its parts it is an extension."""

    role: Literal["assistant"]
    content: str | Annotated[list[AssistantPart], Field(min_length=1)] | None = None
    refusal: str | None = None
    audio: AudioReference | None = None
    name: Name = None


Message = Annotated[SystemMessage | UserMessage | AssistantMessage, Discriminator("role")]
