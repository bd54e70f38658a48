"""What requests and answers of all endpoints share: settings of a request, ids, pictures and tokens as JSON."""

from __future__ import annotations

import base64
import secrets
import time
import uuid
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from omni.inference.options import SamplingOptions
from omni.inference.request import Finished, TokenLogprob
from omni.layout import Layout
from omni.media import encode_png
from omni.sequence import Audio, Image, Text
from omni.serve.schema.base import TokenBytes, TokenLogprobs

LEAST_LOGPROB = -9999.0
"""Stands for minus infinity, which JSON can't say."""
SEEDS = 2**63
"""Seeds are from minus this up to this."""
SPACE = "\u2581"
"""How SentencePiece writes a space."""


def new_id(kind: str) -> str:
    """An id that nothing else has."""
    return f"{kind}-{uuid.uuid4().hex}"


def now() -> int:
    """Unix time."""
    return int(time.time())


def options_of(given: dict[str, Any], seed: int | None) -> SamplingOptions:
    """Settings from those that a request names (``None`` for the default); without a seed a random one.

    Raises:
        ValueError: a setting out of range.
    """
    named = {name: value for name, value in given.items() if value is not None}
    return SamplingOptions(seed=secrets.randbits(62) if seed is None else seed, **named)


def varied(options: SamplingOptions, count: int) -> list[SamplingOptions]:
    """The settings of ``count`` answers to one request: each draws other noise."""
    seeds = ((options.seed + number + SEEDS) % (2 * SEEDS) - SEEDS for number in range(count))
    return [replace(options, seed=seed) for seed in seeds]


def text_of(finished: Finished) -> str:
    """All text of an answer."""
    return "".join(segment.text for segment in finished.segments if isinstance(segment, Text))


def pictures_of(finished: Finished) -> list[Image]:
    """All pictures of an answer."""
    return [segment for segment in finished.segments if isinstance(segment, Image)]


def clips_of(finished: Finished) -> list[Audio]:
    """All clips of an answer."""
    return [segment for segment in finished.segments if isinstance(segment, Audio)]


def base64_of(content: bytes) -> str:
    """Bytes as text."""
    return base64.b64encode(content).decode("ascii")


def data_url(image: Image) -> str:
    """A picture as a ``data:`` URL."""
    return f"data:image/png;base64,{base64_of(encode_png(image.pixels))}"


def logprobs_of(layout: Layout, chosen: Iterable[TokenLogprob]) -> list[TokenLogprobs]:
    """Log probabilities of the text tokens among what the text head chose; symbols of the layout are left out."""
    found = []
    for one in chosen:
        if one.token not in layout.text.control_ids:
            top = [_token(layout, token, logprob) for token, logprob in one.top]
            found.append(
                TokenLogprobs(**_token(layout, one.token, one.logprob).model_dump(), top_logprobs=top)
            )
    return found


def _token(layout: Layout, token: int, logprob: float) -> TokenBytes:
    pieces = layout.text.pieces
    piece = pieces.id_to_piece(token)
    if pieces.is_byte(token):  # such as <0x41>
        content = bytes([int(piece[3:-1], 16)])
        text = content.decode("utf-8", errors="replace")
    else:
        text = piece.replace(SPACE, " ")
        content = text.encode()
    return TokenBytes(token=text, logprob=max(logprob, LEAST_LOGPROB), bytes=list(content))
