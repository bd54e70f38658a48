"""What the tests of generation ask a tiny model, and how they look at the answers."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from omni.inference.batcher import EngineConfig
from omni.inference.engine import Engine
from omni.inference.options import SamplingOptions
from omni.inference.request import Finished, Request
from omni.modality import ModalityName
from omni.model import OmniTransformer
from omni.sequence import Audio, Image, Segment, Text
from tests.tiny import picture, tiny_tokenizers, tone

GREEDY = SamplingOptions(
    audio_temperature=0.0, image_guidance=1.0, image_steps=3, max_text=12, max_audio_seconds=0.6
)
DRAWN = replace(GREEDY, temperature=1.0, audio_temperature=1.0)
PROMPTS: dict[str, list[Segment]] = {
    "text": [Text("which digit?")],
    "picture": [Image(picture(3)), Text(" plus one is?")],
    "clip": [Audio(tone(4), 8000), Text("draw it")],
    "picture and clip": [Image(picture(3, 4, 12)), Text(" plus "), Audio(tone(5, 0.1), 8000)],
}
MIXED: list[Request] = [
    Request(prompt=PROMPTS["picture and clip"], want="text", options=replace(DRAWN, seed=1)),
    Request(prompt=PROMPTS["text"], want="image", options=replace(DRAWN, seed=2, image_guidance=2.0)),
    Request(prompt=PROMPTS["picture"], want="audio", options=replace(DRAWN, seed=3, audio_temperature=0.0)),
    Request(prompt=PROMPTS["clip"], want="text", options=replace(DRAWN, seed=4, top_k=5, temperature=0.5)),
    Request(prompt=PROMPTS["text"], want="text", options=replace(GREEDY, max_text=40)),
    Request(prompt=PROMPTS["clip"], want="image", options=replace(DRAWN, seed=5, image_steps=2)),
    Request(prompt=[Text("one plus ")], want="text", options=replace(DRAWN, min_p=0.1), chat=False),
]
"""Every modality, guided and not, with settings that differ."""


def engine_of(model: OmniTransformer, **sizes: Any) -> Engine:
    return Engine(model, tiny_tokenizers(), EngineConfig(**sizes))


def alone(model: OmniTransformer, request: Request) -> Finished:
    return engine_of(model).submit(request).result()


def text_of(finished: Finished) -> str:
    return "".join(segment.text for segment in finished.segments if isinstance(segment, Text))


def endless(want: ModalityName = "text", **settings: Any) -> Request:
    """A request whose answer comes to no end by itself."""
    never = {tiny_tokenizers().text.end: -100.0}
    options = replace(DRAWN, max_text=400, logit_bias=never, max_audio_seconds=60.0)
    return Request(prompt=PROMPTS["text"], want=want, options=options, **settings)


def same(one: Seq[Segment], other: Seq[Segment]) -> bool:
    """Whether two answers are equal: texts and codes exactly, pictures up to a rounding of their grey levels."""
    return len(one) == len(other) and all(same_segment(a, b) for a, b in zip(one, other, strict=True))


def same_segment(one: Segment, other: Segment) -> bool:
    if isinstance(one, Image) and isinstance(other, Image):
        alike = one.pixels.shape == other.pixels.shape
        return alike and np.abs(one.pixels.astype(int) - other.pixels).max() <= 1
    if isinstance(one, Audio) and isinstance(other, Audio):
        assert one.codes is not None and other.codes is not None
        return np.array_equal(one.codes, other.codes)
    return one == other


class Scripted(nn.Module):
    """A text head that says the given tokens, one a step, whatever it reads."""

    def __init__(self, tokens: Seq[int]) -> None:
        super().__init__()
        self.tokens: Iterator[int] = iter(tokens)

    @property
    def linear(self) -> nn.Module:
        """What the engine asks, in place of a matrix."""
        return self

    def forward(self, hidden_BD: Tensor) -> Tensor:
        logits = torch.zeros(len(hidden_BD), tiny_tokenizers().text.vocab_size)
        logits[:, next(self.tokens)] = 100.0
        return logits


def ids(*words: str | int) -> list[int]:
    """Tokens of texts, control symbols (``<|...|>``) and grid sizes (numbers)."""
    text = tiny_tokenizers().text
    found: list[int] = []
    for word in words:
        if isinstance(word, int):
            found.append(text.size(word))
        else:
            found.extend([text.symbol(word)] if word.startswith("<|") else text.encode(word))
    return found
