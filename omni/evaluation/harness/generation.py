"""Text generation as the harnesses ask for it."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from typing import Any

from omni.inference.batcher import EngineConfig
from omni.inference.engine import Engine
from omni.inference.omni import Omni
from omni.inference.options import SamplingOptions
from omni.inference.request import Request
from omni.sequence import Segment, Text

MAX_TEXT = 256
"""Tokens of an answer where a task doesn't say."""
LENGTHS = ("max_gen_toks", "max_new_tokens", "max_tokens")
"""Names that the harnesses have for it."""


def continued(
    omni: Omni, asked: Seq[tuple[list[Segment], Mapping[str, Any]]], chat: bool, batch: int
) -> list[str]:
    """What the model writes behind each prompt, up to the first of the task's stop strings (``until``).

    ``batch`` prompts are answered at once. An empty prompt is answered as a turn. Where a task draws its answers,
    prompt number i has the noise of seed i.

    Raises:
        ValueError: a setting of another type than the harnesses give.
    """
    engine = Engine(omni.model, omni.tokenizers, EngineConfig(slots=batch))
    requests = (
        Request(prompt=prompt, want="text", options=options_of(settings, seed), chat=chat or not prompt)
        for seed, (prompt, settings) in enumerate(asked)
    )
    answers = [handle.result() for handle in [engine.submit(request) for request in requests]]
    return ["".join(s.text for s in answer.segments if isinstance(s, Text)) for answer in answers]


def options_of(settings: Mapping[str, Any], seed: int = 0) -> SamplingOptions:
    """The options that a task's ``generation_kwargs`` mean; ``do_sample: false`` takes the likeliest token."""
    length = next((settings[name] for name in LENGTHS if settings.get(name) is not None), MAX_TEXT)
    greedy = settings.get("do_sample") is False
    until = settings.get("until") or []
    return SamplingOptions(
        temperature=0.0 if greedy else float(settings.get("temperature") or 0.0),
        top_p=float(settings.get("top_p") or 1.0),
        top_k=int(settings.get("top_k") or 0),
        stop=(until,) if isinstance(until, str) else tuple(stop for stop in until if stop),
        max_text=int(length),
        seed=seed,
    )
