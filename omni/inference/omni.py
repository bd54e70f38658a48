"""``Omni``: a checkpoint that reads and writes text, images and audio."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import replace
from pathlib import Path

import torch

from omni.checkpoint import load_model
from omni.inference.batcher import EngineConfig
from omni.inference.causal import require_causal
from omni.inference.engine import Engine
from omni.inference.options import SamplingOptions
from omni.inference.request import Request
from omni.inference.weights import WEIGHTS, keep_weights
from omni.layout import Layout
from omni.modality import ModalityName
from omni.model import OmniTransformer
from omni.sequence import Segment
from omni.tokenizers.bundle import Tokenizers

SLOTS = 128
"""Answers that ``generate_batch`` works on at once; guided ones take two."""


class Omni:
    """A trained model with its tokenizers.

    >>> omni = Omni.from_checkpoint("runs/demo/checkpoints/last.ckpt")
    >>> omni.generate([Image.open("digit.png"), Text("which digit?")], want="text")
    [Text(role='assistant', loss=True, text='seven')]
    """

    def __init__(self, model: OmniTransformer, tokenizers: Tokenizers) -> None:
        self.model, self.tokenizers = model.eval(), tokenizers
        self.layout = Layout(tokenizers, model.config.audio.layout)

    @classmethod
    def from_checkpoint(
        cls, path: Path | str, device: torch.device | str = "cpu", weights: str = "fp32"
    ) -> Omni:
        """Load any checkpoint of ``omni fit``; config, tokenizers and codec come out of it.

        Args:
            path: of the checkpoint.
            device: of the model.
            weights: ``fp32``, ``bf16`` or ``int8``: see ``keep_weights``.

        Raises:
            ValueError: not a checkpoint of this project, one of a model that can't generate, or unknown weights.
        """
        if weights not in WEIGHTS:  # before a large file is read
            raise ValueError(f"weights is {weights!r}, expected one of {list(WEIGHTS)}")
        model, tokenizers = load_model(path, device)
        require_causal(model.config, str(path))
        keep_weights(model, weights)
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
        engine = Engine(self.model, self.tokenizers, EngineConfig(slots=min(SLOTS, max(2, 2 * len(prompts)))))
        requests = (
            Request(prompt=prompt, want=want, options=replace(options, seed=options.seed + number), chat=chat)
            for number, prompt in enumerate(prompts)
        )
        handles = [engine.submit(request) for request in requests]
        while engine.step():
            if on_progress:
                on_progress(sum(handle.finished is not None for handle in handles))
        if handles and on_progress:
            on_progress(len(handles))
        return [handle.result().segments for handle in handles]
