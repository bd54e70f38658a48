"""Request and answer of ``/v1/images/generations``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from omni.serve.schema.base import UNUSED, JsonRequest, MediaUsage, Seed

PictureFormat = Literal["png", "jpeg", "webp"]
OfficialSize = Literal["1024x1024", "1024x1536", "1536x1024"]
Unused = Field(default=None, description=UNUSED)


class ImagesRequest(JsonRequest):
    """What to draw."""

    prompt: Annotated[str, Field(min_length=1, max_length=32_000)]
    model: str | None = None
    """By default the first one."""
    n: Annotated[int, Field(ge=1, le=10)] | None = None
    size: Annotated[str, Field(pattern=r"^(auto|[1-9][0-9]{0,3}x[1-9][0-9]{0,3})$")] | None = None
    """``WIDTHxHEIGHT`` of the file; the model draws at its own size, which ``auto`` leaves as it is."""
    response_format: Literal["b64_json", "url"] | None = None
    """``url`` gives a ``data:`` URL."""
    output_format: PictureFormat | None = None
    output_compression: Annotated[int, Field(ge=0, le=100)] | None = None
    stream: bool | None = None

    # extensions
    seed: Seed | None = None
    image_steps: Annotated[int, Field(ge=1, le=200)] | None = None
    image_guidance: Annotated[float, Field(ge=0, le=10)] | None = None

    # permissions and hints
    background: Literal["transparent", "opaque", "auto"] | None = Unused
    moderation: Literal["low", "auto"] | None = Unused
    partial_images: Annotated[int, Field(ge=0, le=3)] | None = Unused
    quality: Literal["standard", "hd", "low", "medium", "high", "auto"] | None = Unused
    style: Literal["vivid", "natural"] | None = Unused
    user: str | None = Unused


class ImageData(BaseModel):
    """A picture."""

    b64_json: str | None = None
    url: str | None = None


class ImagesAnswer(BaseModel):
    """The pictures."""

    created: int
    data: list[ImageData]
    background: Literal["opaque"] = "opaque"
    output_format: PictureFormat
    size: OfficialSize | None = None
    """Where it is one that the official client knows; it takes no other."""
    usage: MediaUsage
