"""The answer of ``/v1/chat/completions``."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from omni.serve.schema.base import ModalityTokens, TokenLogprobs

FinishReason = Literal["stop", "length"]


class PictureUrl(BaseModel):
    """A ``data:`` URL."""

    url: str


class AnswerPicture(BaseModel):
    """A picture that was drawn: an extension, in the form that other servers use for it."""

    type: Literal["image_url"] = "image_url"
    index: int
    image_url: PictureUrl


class AnswerAudio(BaseModel):
    """A clip that was said."""

    id: str
    data: str
    """Base64 of the file."""
    expires_at: int
    """Unix time until which messages may name the clip by its id."""
    transcript: str
    """What the model hears in it."""


class AnswerMessage(BaseModel):
    """What the assistant answers."""

    role: Literal["assistant"] = "assistant"
    content: str | None
    refusal: None = None
    annotations: list[None] = []
    audio: AnswerAudio | None = None
    images: list[AnswerPicture] | None = None


class ChoiceLogprobs(BaseModel):
    """Log probabilities of the text tokens."""

    content: list[TokenLogprobs]
    refusal: None = None


class Choice(BaseModel):
    """One of ``n`` answers."""

    index: int
    message: AnswerMessage
    logprobs: ChoiceLogprobs | None
    finish_reason: FinishReason


class PromptDetails(ModalityTokens):
    """Tokens of the prompt."""

    cached_tokens: int = 0


class CompletionDetails(ModalityTokens):
    """Tokens of the answers."""

    reasoning_tokens: int = 0
    accepted_prediction_tokens: int = 0
    rejected_prediction_tokens: int = 0


class Usage(BaseModel):
    """Tokens of a chat."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptDetails
    completion_tokens_details: CompletionDetails


class ChatCompletion(BaseModel):
    """All answers."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    service_tier: Literal["default"] = "default"
    system_fingerprint: str
