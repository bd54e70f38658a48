"""Settings of a request. Free of torch, so that the command line can show them at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """Settings of one request. Text goes through them in this order: ``logit_bias``, ``repetition_penalty``,
    ``temperature``, ``min_p``, ``top_k``, ``top_p``."""

    temperature: float = 0.0
    """Of text; 0 takes the likeliest token."""
    top_p: float = 1.0
    """Text is drawn from the smallest set of tokens with this much probability."""
    top_k: int = 0
    """Text is drawn from the k likeliest tokens; 0 for all."""
    min_p: float = 0.0
    """Text is drawn from tokens with at least this share of the likeliest one's probability (arXiv 2407.01082)."""
    repetition_penalty: float = 1.0
    """Logits of tokens that prompt or answer hold are divided by it, negative ones multiplied (arXiv 1909.05858);
    control symbols are left alone; 1 for none."""
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    """Added to the logits of tokens, by id."""
    stop: tuple[str, ...] = ()
    """Text ends before the first of these."""
    logprobs: bool = False
    """Report the log probability of each token that the text head chose."""
    top_logprobs: int = 0
    """How many of the likeliest tokens to report beside each; needs ``logprobs``."""
    audio_temperature: float = 0.7
    """Of audio codes."""
    audio_guidance: float = 1.0
    """Classifier-free guidance of audio codes; 1 for none."""
    image_steps: int = 25
    """Euler steps of the flow for a patch."""
    image_guidance: float = 1.2
    """Classifier-free guidance of pictures; 1 for none."""
    grid: tuple[int, int] | None = None
    """Rows and columns of patches of every picture; the model's choice by default."""
    max_text: int = 256
    """Most text tokens and markers of an answer."""
    max_audio_seconds: float = 30.0
    """A clip is ended there."""
    seed: int = 0
    """Of all noise of the request."""

    def __post_init__(self) -> None:
        for name in ("temperature", "audio_temperature", "top_k", "top_logprobs"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p}")
        if not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p must be in [0, 1], got {self.min_p}")
        for name in ("image_steps", "max_text"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("max_audio_seconds", "repetition_penalty"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        if "" in self.stop:
            raise ValueError(f"stop must not hold an empty text, got {self.stop}")
        if self.top_logprobs and not self.logprobs:
            raise ValueError(f"top_logprobs is {self.top_logprobs}, but logprobs is off: turn it on")
        if self.grid is not None and min(self.grid) < 1:
            raise ValueError(f"grid must be at least 1 x 1, got {self.grid[0]} x {self.grid[1]}")
