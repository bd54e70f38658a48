"""What all requests have in common."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Seed = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
JsonObject = dict[str, Any]
UNUSED = "Accepted, without effect."


class JsonRequest(BaseModel):
    """A JSON body or a part of one: values have their own type, unknown fields are errors, numbers are finite."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class FormRequest(BaseModel):
    """A multipart form, in which everything is text."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ModalityTokens(BaseModel):
    """Positions by modality: a text token, a patch of a picture and a frame of sound each count one."""

    text_tokens: int = 0
    image_tokens: int = 0
    audio_tokens: int = 0


class MediaUsage(BaseModel):
    """Tokens of an answer of the media endpoints."""

    type: Literal["tokens"] = "tokens"
    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_tokens_details: ModalityTokens | None = None
    output_tokens_details: ModalityTokens | None = None
    input_token_details: ModalityTokens | None = None
    """Transcriptions write the same in the singular."""


class TokenBytes(BaseModel):
    """A token and what the model thought of it."""

    token: str
    logprob: float
    """Nats."""
    bytes: list[int] | None


class TokenLogprobs(TokenBytes):
    """A token with the likeliest ones at its place."""

    top_logprobs: list[TokenBytes]
