"""What an operator decides: limits, prompts and who may come in. Free of torch, so that the command line shows it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

LOOPBACK = ("127.0.0.1", "::1", "localhost")
"""Hosts that only this machine reaches."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds of what one client can ask for."""

    body_mib: float = 32.0
    """Largest body of a request, in MiB."""
    media: int = 16
    """Most pictures and clips in one request."""
    megapixels: float = 16.0
    """Largest picture."""
    audio_seconds: float = 60.0
    """Longest clip that is heard."""
    spoken_seconds: float = 30.0
    """Longest clip that is said."""
    choices: int = 16
    """Largest ``n``."""
    queue: int = 64
    """Answers that wait beside those in work; further ones are refused with 429."""
    seconds: float = 120.0
    """Deadline of a request."""
    max_tokens: int = 1024
    """Text tokens of an answer where the request names no number."""
    domains: tuple[str, ...] = ()
    """Hosts from which pictures are fetched, ``*.example.com`` for all below one; by default only ``data:`` URLs."""
    fetch_seconds: float = 10.0
    """Deadline of one fetched picture."""

    def __post_init__(self) -> None:
        for name in ("body_mib", "megapixels", "audio_seconds", "spoken_seconds", "seconds", "fetch_seconds"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name, least in (("media", 0), ("choices", 1), ("queue", 0), ("max_tokens", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """How a checkpoint is asked what an endpoint means; the defaults are the demo's wordings."""

    say: str = "say {text}"
    """Of ``/v1/audio/speech``."""
    draw: str = "{text}"
    """Of ``/v1/images/generations``."""
    hear: str = "what was said?"
    """Follows a clip that is to be transcribed."""

    def __post_init__(self) -> None:
        for name in ("say", "draw"):
            if "{text}" not in getattr(self, name):
                raise ValueError(f"the prompt {name!r} needs {{text}} somewhere, got {getattr(self, name)!r}")


@dataclass(frozen=True, kw_only=True)
class ServeConfig:
    """Settings of one server."""

    host: str = "127.0.0.1"
    """Address to bind to."""
    api_key: str | None = None
    """Key that clients must send; without one only loopback is served."""
    limits: Limits = field(default_factory=Limits)
    prompts: Prompts = field(default_factory=Prompts)
    votes: Path = Path("runs/votes.sqlite")
    """SQLite file of the page's votes; the first one makes it."""

    def __post_init__(self) -> None:
        if self.api_key is not None and not self.api_key.strip():
            raise ValueError("the API key is empty: leave it out, or give one")
        if self.api_key is None and self.host not in LOOPBACK:
            raise ValueError(
                f"host {self.host} can be reached from other machines: give --api-key (or OMNI_API_KEY), "
                f"or bind to one of {', '.join(LOOPBACK)}"
            )
