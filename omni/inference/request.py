"""What is asked of the engine, and what it says while it answers."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from jaxtyping import Float

from omni.inference.options import SamplingOptions
from omni.modality import ModalityName
from omni.sequence import Image, Segment

Reason = Literal["end", "stop", "length", "cancelled", "deadline"]
"""Why an answer is over: the model ended it, or the wanted clip is whole; a stop string; ``max_text`` or
``max_audio_seconds``; ``cancel()``; the deadline."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt and how it is to be answered."""

    prompt: Seq[Segment]
    """With ``chat``, segments without a role are the user's."""
    want: ModalityName | None = None
    """Modality of the answer; the model's choice by default."""
    options: SamplingOptions = field(default_factory=SamplingOptions)
    """Sampling settings."""
    chat: bool = True
    """Answer as the assistant; otherwise continue the document."""
    stream: bool = False
    """Send text, sound and pictures as they come, not only the finished answer."""
    seconds: float | None = None
    """Deadline: the answer is cut this long after it was asked for."""

    def __post_init__(self) -> None:
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"seconds (the deadline) must be positive, got {self.seconds}")


@dataclass(frozen=True)
class TokenLogprob:
    """What the model thought of a token before settings changed its logits, over the whole vocabulary."""

    token: int
    logprob: float
    """Nats."""
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens and their log probabilities, likeliest first."""


@dataclass(frozen=True)
class TextPiece:
    """The next characters of a text."""

    text: str


@dataclass(frozen=True, eq=False)
class SoundPiece:
    """The next samples of a clip."""

    waveform: Float[np.ndarray, " W"]
    sample_rate: int
    ends: bool
    """Whether the clip is over."""


@dataclass(frozen=True, eq=False)
class Picture:
    """A finished picture."""

    image: Image


@dataclass(frozen=True, eq=False)
class Finished:
    """The last event: the whole answer."""

    reason: Reason
    segments: list[Segment]
    """What is complete of the answer; a clip that was cut is closed, a picture that was cut is left out."""
    logprobs: tuple[TokenLogprob, ...]
    """Of each choice of the text head, where asked for."""
    prompt_positions: int
    positions: int
    """Of the answer."""


Event = TextPiece | SoundPiece | Picture | Finished
