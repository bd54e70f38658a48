"""``Omni``: a checkpoint that reads and writes text, images and audio."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import replace
from pathlib import Path

import torch

from omni.checkpoint import load_model
from omni.inference.causal import require_causal
from omni.inference.generate import generate
from omni.inference.options import SamplingOptions
from omni.inference.row import Row
from omni.layout import Layout
from omni.modality import AUDIO, IMAGE, TEXT, ModalityName
from omni.model import OmniTransformer
from omni.sequence import Role, Segment
from omni.tokenizers.bundle import Tokenizers


class Omni:
    """A trained model with its tokenizers.

    >>> omni = Omni.from_checkpoint("runs/demo/checkpoints/last.ckpt")
    >>> omni.generate([Image.open("digit.png"), Text("which digit?")], want="text")
    [Text(role='assistant', loss=True, text='seven')]
    """

    def __init__(self, model: OmniTransformer, tokenizers: Tokenizers) -> None:
        self.model, self.tokenizers = model.eval(), tokenizers
        self.layout = Layout(tokenizers)

    @classmethod
    def from_checkpoint(cls, path: Path | str, device: torch.device | str = "cpu") -> Omni:
        """Load any checkpoint of ``omni fit``; config, tokenizers and codec come out of it.

        Raises:
            ValueError: not a checkpoint of this project, or one of a model that can't generate.
        """
        model, tokenizers = load_model(path, device)
        require_causal(model.config, str(path))
        return cls(model, tokenizers)

    def generate(
        self,
        prompt: Seq[Segment],
        want: ModalityName | None = None,
        options: SamplingOptions | None = None,
        chat: bool = True,
    ) -> list[Segment]:
        """The answer to one prompt: see ``generate_batch``."""
        return self.generate_batch([prompt], want, options, chat)[0]

    def generate_batch(
        self,
        prompts: Seq[Seq[Segment]],
        want: ModalityName | None = None,
        options: SamplingOptions | None = None,
        chat: bool = True,
        on_progress: Callable[[int], None] | None = None,
    ) -> list[list[Segment]]:
        """Answers to prompts.

        Args:
            prompts: segments of each prompt; with ``chat``, those without a role are the user's.
            want: modality of the answer; the model's choice by default.
            options: sampling settings. Prompt number i draws its noise from ``options.seed + i``.
            chat: answer as the assistant; otherwise continue the document.
            on_progress: is told how many answers are done.
        """
        options = options or SamplingOptions()
        strengths = {IMAGE.name: options.image_guidance, AUDIO.name: options.audio_guidance, TEXT.name: 1.0}
        guided = any(strength != 1 for name, strength in strengths.items() if want in (None, name))
        role: Role | None = "assistant" if chat else None
        rows = []
        for number, prompt in enumerate(prompts):
            segments = [replace(s, role="user") if chat and s.role is None else s for s in prompt]
            own = replace(options, seed=options.seed + number)
            rows.append(Row(self.layout, segments, role, want, own, guided and (chat or bool(segments))))
        if rows:
            generate(self.model, rows, on_progress)
        return [[replace(s, role=role) for s in row.answer()] for row in rows]
