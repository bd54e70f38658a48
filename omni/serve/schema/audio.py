"""Requests and answers of ``/v1/audio/speech`` and ``/v1/audio/transcriptions``."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import UploadFile
from pydantic import BaseModel, Field

from omni.serve.schema.base import UNUSED, FormRequest, JsonRequest, MediaUsage, Seed, TokenBytes
from omni.serve.schema.chat import VoiceId

SpeechFormat = Literal["mp3", "opus", "flac", "wav", "pcm"]
Unused = Field(default=None, description=UNUSED)


class SpeechRequest(JsonRequest):
    """What to say."""

    input: Annotated[str, Field(min_length=1, max_length=4096)]
    model: str
    voice: str | VoiceId = Field(description=UNUSED)
    response_format: SpeechFormat | None = None
    """``mp3`` by default. ``wav`` and ``pcm`` are sent while they are said."""
    speed: Annotated[float, Field(ge=1, le=1)] | None = None
    stream_format: Literal["audio", "sse"] | None = None

    # extensions
    seed: Seed | None = None
    audio_temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    audio_guidance: Annotated[float, Field(ge=0, le=10)] | None = None

    instructions: str | None = Unused


class TranscriptionRequest(FormRequest):
    """What to hear."""

    file: UploadFile
    model: str
    response_format: Literal["json", "text", "srt", "verbose_json", "vtt"] = "json"
    temperature: Annotated[float, Field(ge=0, le=1)] = 0.0
    stream: bool = False
    include: Annotated[list[Literal["logprobs"]], Field(alias="include[]", default_factory=list)]

    timestamp_granularities: Annotated[
        list[Literal["segment", "word"]], Field(alias="timestamp_granularities[]", default_factory=list)
    ]
    """``word`` is refused where it has a meaning, in ``verbose_json``."""

    chunking_strategy: str | None = Unused
    keywords: Annotated[list[str], Field(alias="keywords[]", default_factory=list, description=UNUSED)]
    known_speaker_names: Annotated[
        list[str], Field(alias="known_speaker_names[]", default_factory=list, description=UNUSED)
    ]
    known_speaker_references: Annotated[
        list[str], Field(alias="known_speaker_references[]", default_factory=list, description=UNUSED)
    ]
    language: str | None = Unused
    languages: Annotated[list[str], Field(alias="languages[]", default_factory=list, description=UNUSED)]
    prompt: str | None = Unused


class Transcription(BaseModel):
    """What was heard, as ``json``."""

    text: str
    logprobs: list[TokenBytes] | None = None
    usage: MediaUsage


class DurationUsage(BaseModel):
    """What was heard, in seconds."""

    type: Literal["duration"] = "duration"
    seconds: float


class VerboseTranscription(BaseModel):
    """What was heard, as ``verbose_json``."""

    task: Literal["transcribe"] = "transcribe"
    language: Literal["und"] = "und"
    """The model does not say."""
    duration: float
    text: str
    usage: DurationUsage
