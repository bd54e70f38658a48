"""How the next token, code or patch is drawn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


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


def choose(
    logits_BV: Float[Tensor, "B V"],
    generators: list[torch.Generator],
    temperature: float,
    top_p: float = 1.0,
    top_k: int = 0,
) -> Int[Tensor, " B"]:
    """Draw one index per row, each with its own generator (Gumbel-max), so whatever the other rows are."""
    if temperature == 0:
        return logits_BV.argmax(-1)
    logits_BV = logits_BV / temperature
    if top_k:
        kth = logits_BV.topk(min(top_k, logits_BV.shape[-1]), dim=-1).values[:, -1:]
        logits_BV = logits_BV.masked_fill(logits_BV < kth, float("-inf"))
    if top_p < 1:
        ordered, order = logits_BV.sort(dim=-1, descending=True)
        before = ordered.softmax(-1).cumsum(-1) - ordered.softmax(-1)
        logits_BV = logits_BV.scatter(-1, order, ordered.masked_fill(before >= top_p, float("-inf")))
    uniform = torch.stack([torch.rand(logits_BV.shape[-1], generator=g) for g in generators])
    waiting = -torch.log(uniform.clamp(min=1e-20))  # exponential, so its negative logarithm is Gumbel
    gumbel = -torch.log(waiting.clamp(min=1e-20))
    return (logits_BV + gumbel.to(logits_BV)).argmax(-1)
