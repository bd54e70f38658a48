"""Positions of an answer by modality: what usage is made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from omni.inference.engine import Handle
from omni.modality import AUDIO, IMAGE
from omni.serve.schema.answer import CompletionDetails, PromptDetails, Usage
from omni.serve.schema.base import MediaUsage, ModalityTokens


def counts_of(handle: Handle) -> tuple[ModalityTokens, ModalityTokens]:
    """Positions of the prompt and of the answer of a finished handle."""
    modality, length = handle.row.builder.modality, handle.row.prompt_length
    return _counted(modality[:length]), _counted(modality[length:])


def _counted(modality: Sequence[int]) -> ModalityTokens:
    images, frames = modality.count(IMAGE.id), modality.count(AUDIO.id)
    return ModalityTokens(
        text_tokens=len(modality) - images - frames, image_tokens=images, audio_tokens=frames
    )


def added(parts: Iterable[ModalityTokens]) -> ModalityTokens:
    """The sum of several."""
    listed = list(parts)
    return ModalityTokens(
        text_tokens=sum(part.text_tokens for part in listed),
        image_tokens=sum(part.image_tokens for part in listed),
        audio_tokens=sum(part.audio_tokens for part in listed),
    )


def total(counts: ModalityTokens) -> int:
    """All positions."""
    return counts.text_tokens + counts.image_tokens + counts.audio_tokens


def chat_usage(prompt: ModalityTokens, answers: Iterable[ModalityTokens]) -> Usage:
    """Usage of a chat: the prompt counts once, however many answers it has."""
    written = added(answers)
    return Usage(
        prompt_tokens=total(prompt),
        completion_tokens=total(written),
        total_tokens=total(prompt) + total(written),
        prompt_tokens_details=PromptDetails(**prompt.model_dump()),
        completion_tokens_details=CompletionDetails(**written.model_dump()),
    )


def media_usage(prompt: ModalityTokens, answers: Iterable[ModalityTokens]) -> MediaUsage:
    """Usage of the media endpoints."""
    written = added(answers)
    return MediaUsage(
        input_tokens=total(prompt),
        output_tokens=total(written),
        total_tokens=total(prompt) + total(written),
        input_tokens_details=prompt,
        output_tokens_details=written,
    )
