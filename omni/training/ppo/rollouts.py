"""Rollouts: answers of the policy to prompts, by the inference engine on the very weights that are trained.

What comes back is the sequence that was sampled, token by token and code by code, not an answer that was decoded and
encoded again: its ``loss`` marks the positions that the policy chose. What follows from the request or the layout (the
marker that opens the clip that was asked for, the one behind a picture, the end of a clip that was cut) is not marked.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace

from omni.inference.batcher import EngineConfig
from omni.inference.engine import Engine, Handle
from omni.inference.options import SamplingOptions
from omni.inference.request import Request
from omni.layout import Layout
from omni.modality import AUDIO, IMAGE, Modality
from omni.model import OmniTransformer
from omni.sequence import Document, Segment, Sequence
from omni.tokenizers.bundle import Tokenizers

OWN = SamplingOptions(temperature=1.0, audio_temperature=1.0, audio_guidance=1.0, image_guidance=1.0)
"""Settings under which answers are drawn from the policy's own distribution."""
BOUNDS = ("image_steps", "max_text", "max_audio_seconds", "grid", "seed", "logprobs")
"""Settings that leave the distribution of a choice as it is."""
SLOTS = 64
"""Answers that are worked on at once."""


@dataclass(frozen=True, eq=False)
class Rollout:
    """One answer."""

    prompt: Document
    modality: Modality
    """Asked for."""
    sequence: Sequence
    """Prompt and answer; ``loss`` marks what the policy chose."""
    answer: tuple[Segment, ...]
    """Decoded."""
    ended: bool
    """Whether the policy ended it, and no limit did."""


def roll_out(
    model: OmniTransformer,
    tokenizers: Tokenizers,
    prompts: Seq[tuple[Document, Modality]],
    options: SamplingOptions = OWN,
) -> list[Rollout]:
    """An answer to each prompt, of the modality that is asked for; number i draws from ``options.seed + i``.

    Raises:
        ValueError: options under which answers would be drawn from another distribution than the policy's, or a
            prompt that can't be encoded.
    """
    _check(options)
    training = model.training
    try:
        engine = Engine(model, tokenizers, EngineConfig(slots=min(SLOTS, max(1, len(prompts)))))
        handles = [
            engine.submit(
                Request(
                    prompt=document.segments,
                    want=modality.name,
                    options=replace(options, seed=options.seed + number),
                )
            )
            for number, (document, modality) in enumerate(prompts)
        ]
        while engine.step():
            pass
    finally:
        model.train(training)
    return [
        _rollout(engine.layout, handle, document, modality)
        for handle, (document, modality) in zip(handles, prompts, strict=True)
    ]


def _check(options: SamplingOptions) -> None:
    bounds = {name: getattr(options, name) for name in BOUNDS}
    if options != replace(OWN, **bounds):
        raise ValueError(
            f"rollouts are drawn from the policy itself: only {', '.join(BOUNDS)} may differ from {OWN}, got {options}"
        )


def _rollout(layout: Layout, handle: Handle, document: Document, modality: Modality) -> Rollout:
    row, finished = handle.row, handle.result()
    sequence = layout.finish(row.builder, document.key)
    chosen = sequence.loss.copy()
    chosen[: row.prompt_length] = False
    if modality.opening is not None:
        chosen[row.prompt_length] = False
    closes = (sequence.modality != IMAGE.id) & (sequence.text_ids == layout.closing[IMAGE.id])
    chosen[closes] = False
    if finished.reason == "length" and sequence.text_ids[-1] == layout.closing[AUDIO.id]:
        chosen[-1] = False
    return Rollout(
        document,
        modality,
        replace(sequence, loss=chosen),
        tuple(finished.segments),
        finished.reason == "end",
    )
