"""Request and answers of ``/votes``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, model_validator

from omni.serve.schema.base import JsonObject, JsonRequest
from omni.serve.schema.messages import Message, Part

Verdict = Literal["best", "tie", "bad"]


class JudgedAnswer(JsonRequest):
    """An answer, and what it answers."""

    model: str
    messages: Annotated[list[Message], Field(min_length=1)]
    """What was asked, with all earlier turns; its pictures are ``data:`` URLs."""
    content: list[Part]
    """What was answered, as parts of a message."""
    settings: JsonObject = Field(default_factory=dict)
    """What else was asked for: temperature, seed, modalities and so on."""
    measured: JsonObject = Field(default_factory=dict)
    """What the page measured and was told: times, tokens, why the answer ended."""


class Vote(JsonRequest):
    """What somebody thinks of answers that stand side by side."""

    verdict: Verdict
    """``best``: ``winner`` is better than the others; ``tie``: equally good; ``bad``: none is any good."""
    winner: Annotated[int, Field(ge=0)] | None = None
    """Place of the best answer, from 0; only with ``best``."""
    answers: Annotated[list[JudgedAnswer], Field(min_length=2, max_length=4)]

    @model_validator(mode="after")
    def _one_winner(self) -> Vote:
        if (self.verdict == "best") != (self.winner is not None):
            raise ValueError(
                f"verdict is {self.verdict!r} and winner {self.winner}: only `best` has a winner"
            )
        if self.winner is not None and self.winner >= len(self.answers):
            raise ValueError(f"winner is {self.winner}, but there are {len(self.answers)} answers, from 0")
        return self


class KeptVote(BaseModel):
    """That a vote is kept."""

    id: int


class VoteCounts(BaseModel):
    """What is kept."""

    votes: int
    best: int
    tie: int
    bad: int
