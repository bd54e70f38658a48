"""Text generation as the harnesses ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from typing import Any

from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.sequence import Segment, Text

MAX_TEXT = 256
"""Tokens of an answer where a task doesn't say."""
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens")
"""Names that the harnesses have for it."""


def continued(
    omni: Omni, asked: Seq[tuple[list[Segment], Mapping[str, Any]]], chat: bool, batch: int
) -> list[str]:
    """What the model writes behind each prompt, up to the first of the task's stop strings (``until``).

    Requests with the same settings are generated together, ``batch`` at a time. An empty prompt is answered as a turn.

    Raises:
        ValueError: a setting of another type than the harnesses give.
    """
    found = [""] * len(asked)
    groups: dict[tuple[SamplingOptions, bool], list[int]] = {}
    for number, (prompt, settings) in enumerate(asked):
        groups.setdefault((options_of(settings), chat or not prompt), []).append(number)
    for (options, as_turn), numbers in groups.items():
        for start in range(0, len(numbers), batch):
            part = numbers[start : start + batch]
            answers = omni.generate_batch([asked[n][0] for n in part], "text", options, as_turn)
            for number, segments in zip(part, answers, strict=True):
                said = "".join(segment.text for segment in segments if isinstance(segment, Text))
                found[number] = cut(said, asked[number][1].get("until"))
    return found


def options_of(settings: Mapping[str, Any]) -> SamplingOptions:
    """The options that a task's ``generation_kwargs`` mean; ``do_sample: false`` takes the likeliest token."""
    length = next((settings[name] for name in LENGTHS if settings.get(name) is not None), MAX_TEXT)
    greedy = settings.get("do_sample") is False
    temperature = 0.0 if greedy else float(settings.get("temperature") or 0.0)
    return SamplingOptions(
        temperature=temperature,
        top_p=float(settings.get("top_p") or 1.0),
        top_k=int(settings.get("top_k") or 0),
        max_text=int(length),
    )


def cut(text: str, until: str | Seq[str] | None) -> str:
    """The text before the first stop string."""
    stops = [until] if isinstance(until, str) else until or []
    return text[: min((at for stop in stops if stop and (at := text.find(stop)) >= 0), default=len(text))]
