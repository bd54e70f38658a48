"""The reward that a reward model gives, normalised by modality."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence as Seq
from pathlib import Path

import torch

from omni.layout import Layout
from omni.modality import Modality
from omni.sequence import Document, OmniBatch, Segment, Sequence, turn_of
from omni.training.reward import RewardModel, load_reward_model

Collate = Callable[[list[list[Sequence]]], OmniBatch]
"""The sequences of each row in, a batch out (``omni.datamodules.collate``)."""


class LearnedReward:
    """Scores prompt and answer; 0 is what chosen answers of this modality got on average."""

    def __init__(self, model: RewardModel, layout: Layout, collate: Collate) -> None:
        self.model, self.layout, self.collate = model.eval(), layout, collate

    @classmethod
    def load(cls, path: Path | str, collate: Collate, device: torch.device | str = "cpu") -> LearnedReward:
        """The reward model of a checkpoint.

        Raises:
            ValueError: not a checkpoint of a reward model.
        """
        model, tokenizers = load_reward_model(path, device)
        return cls(model, Layout(tokenizers), collate)

    def __call__(self, prompt: Document, answer: Seq[Segment], modality: Modality) -> float:
        """See ``Reward``."""
        return self.many([(prompt, answer, modality)])[0]

    @torch.no_grad()
    def many(self, answers: Seq[tuple[Document, Seq[Segment], Modality]]) -> list[float]:
        """The rewards of several answers, in one pass; none depends on the others."""
        sequences = [
            self.layout.encode(
                Document((*prompt.segments, *turn_of(answer, "assistant", loss=True)), prompt.key)
            )
            for prompt, answer, _ in answers
        ]
        head = self.model.reward_head
        batch = self.collate([sequences]).to(head.weight.device)
        modalities = torch.tensor([modality.id for _, _, modality in answers], device=head.weight.device)
        return head.normalised(self.model.scores(batch), modalities).tolist()
