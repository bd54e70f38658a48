"""Settings of a request. Free of torch, so that the command line can show them at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """Settings of one request."""

    temperature: float = 0.0
    """Of text; 0 takes the likeliest token."""
    top_p: float = 1.0
    """Text is drawn from the smallest set of tokens with this much probability."""
    top_k: int = 0
    """Text is drawn from the k likeliest tokens; 0 for all."""
    audio_temperature: float = 0.7
    """Of audio codes."""
    audio_guidance: float = 1.0
    """Classifier-free guidance of audio codes; 1 for none."""
    image_steps: int = 25
    """Euler steps of the flow for a patch."""
    image_guidance: float = 1.2
    """Classifier-free guidance of pictures; 1 for none."""
    max_text: int = 256
    """Most text tokens and markers of an answer."""
    max_audio_seconds: float = 30.0
    """A clip is ended there."""
    seed: int = 0
    """Of all noise of the request."""

    def __post_init__(self) -> None:
        for name in ("temperature", "audio_temperature", "top_k"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be in (0, 1], got {self.top_p}")
        for name in ("image_steps", "max_text"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not self.max_audio_seconds > 0:
            raise ValueError(f"max_audio_seconds must be positive, got {self.max_audio_seconds}")
