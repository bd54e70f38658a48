"""A chat request as requests to the engine."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import replace

from omni.inference.request import Request
from omni.layout import Layout
from omni.modality import AUDIO, IMAGE, ModalityName
from omni.sequence import Audio, Segment, Text
from omni.serve.answers import options_of, varied
from omni.serve.errors import invalid
from omni.serve.schema.chat import ChatRequest
from omni.serve.settings import Limits, Prompts

NEVER = -1e9
"""Added to the logit of what may not come."""


def wanted(body: ChatRequest) -> ModalityName | None:
    """Modality of the answer; ``None`` leaves it to the model, among those that ``modalities`` names.

    Text alone is the default. With ``audio`` and no pictures the answer is spoken, as in OpenAI's API; what was said
    is its transcript.
    """
    kinds = set(body.modalities or ["text"])
    if kinds == {"text"}:
        return "text"
    if kinds == {"image"}:
        return "image"
    return "audio" if "image" not in kinds else None


def check(body: ChatRequest, limits: Limits) -> None:
    """Raise ``ApiError`` 400 for settings that don't go together."""
    if (body.n or 1) > limits.choices:
        raise invalid(f"n is {body.n}, at most {limits.choices} answers are given", "n")
    if body.modalities and "audio" in body.modalities and body.audio is None:
        raise invalid(
            "modalities has audio, so audio must say its format and voice", "audio", "missing_required"
        )


def requests_of(body: ChatRequest, prompt: Seq[Segment], layout: Layout, limits: Limits) -> list[Request]:
    """One request for each of ``n`` answers; they differ in their seed.

    Raises:
        ApiError: 400 for a setting out of range.
    """
    want = wanted(body)
    bias = {int(token): value for token, value in (body.logit_bias or {}).items()}
    if want is None:
        for modality in (IMAGE, AUDIO):
            if modality.name not in (body.modalities or []):
                bias[layout.opening[modality.id]] = NEVER
    settings = {
        "temperature": body.temperature,
        "top_p": body.top_p,
        "top_k": body.top_k,
        "min_p": body.min_p,
        "repetition_penalty": body.repetition_penalty,
        "audio_temperature": body.audio_temperature,
        "audio_guidance": body.audio_guidance,
        "image_steps": body.image_steps,
        "image_guidance": body.image_guidance,
        "logit_bias": bias,
        "stop": body.stops,
        "logprobs": body.logprobs,
        "top_logprobs": body.top_logprobs,
        "max_text": body.text_limit or limits.max_tokens,
        "max_audio_seconds": limits.spoken_seconds,
    }
    try:
        options = options_of(settings, body.seed)
    except ValueError as error:
        raise invalid(str(error)) from None
    return [
        Request(prompt=prompt, want=want, options=one, stream=bool(body.stream))
        for one in varied(options, body.n or 1)
    ]


def hearing(clip: Audio, prompts: Prompts, limits: Limits) -> Request:
    """A request for what is said in a clip."""
    options = options_of({"max_text": limits.max_tokens}, seed=0)
    return Request(prompt=[replace(clip, role=None), Text(prompts.hear)], want="text", options=options)
