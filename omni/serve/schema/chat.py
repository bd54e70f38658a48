"""The request of ``/v1/chat/completions``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from omni.serve.schema.base import UNUSED, JsonObject, JsonRequest, Seed
from omni.serve.schema.messages import Message

Unused = Field(default=None, description=UNUSED)
AudioFormat = Literal["wav", "mp3", "flac", "opus", "pcm16"]
TokenId = Annotated[str, Field(pattern=r"^[0-9]{1,9}$")]
NoPenalty = Annotated[float, Field(ge=0, le=0, description="Only 0; see `repetition_penalty`.")]


class VoiceId(JsonRequest):
    """A voice by its id."""

    id: str


class AudioOut(JsonRequest):
    """How a spoken answer is sent."""

    format: AudioFormat
    voice: str | VoiceId = Field(description=UNUSED)


class StreamOptions(JsonRequest):
    """What a stream says besides the answer."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = Unused


class TextFormat(JsonRequest):
    """Free text, the only form of answers."""

    type: Literal["text"]


class ChatRequest(JsonRequest):
    """A chat, and how it is to be answered."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    modalities: Annotated[list[Literal["text", "audio", "image"]], Field(min_length=1)] | None = None
    """``["text"]`` by default. ``image`` is an extension."""
    audio: AudioOut | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    seed: Seed | None = None
    stop: str | Annotated[list[str], Field(max_length=4)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    logit_bias: dict[TokenId, Annotated[float, Field(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None

    # extensions
    top_k: Annotated[int, Field(ge=0)] | None = None
    min_p: Annotated[float, Field(ge=0, le=1)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
    audio_temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    audio_guidance: Annotated[float, Field(ge=0, le=10)] | None = None
    image_steps: Annotated[int, Field(ge=1, le=200)] | None = None
    image_guidance: Annotated[float, Field(ge=0, le=10)] | None = None

    # what would change the answer and is not there: only the value that asks for nothing
    frequency_penalty: NoPenalty | None = None
    presence_penalty: NoPenalty | None = None
    response_format: TextFormat | None = None
    tool_choice: Literal["none", "auto"] | None = None
    function_call: Literal["none", "auto"] | None = None

    # permissions and hints
    tools: list[JsonObject] | None = Unused
    functions: list[JsonObject] | None = Unused
    parallel_tool_calls: bool | None = Unused
    metadata: dict[str, str] | None = Unused
    moderation: JsonObject | None = Unused
    prediction: JsonObject | None = Unused
    prompt_cache_key: str | None = Unused
    prompt_cache_options: JsonObject | None = Unused
    prompt_cache_retention: str | None = Unused
    reasoning_effort: str | None = Unused
    safety_identifier: str | None = Unused
    service_tier: str | None = Unused
    store: bool | None = Unused
    user: str | None = Unused
    verbosity: str | None = Unused
    web_search_options: JsonObject | None = Unused

    @property
    def text_limit(self) -> int | None:
        """Most text tokens, where the request says so; ``max_tokens`` is the older name."""
        return self.max_completion_tokens or self.max_tokens

    @property
    def stops(self) -> tuple[str, ...]:
        """Strings that end the answer."""
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())
