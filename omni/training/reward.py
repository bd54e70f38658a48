"""The reward model: a score for a whole answer, learned from preferences (Bradley-Terry).

The score is read off the last real position of a document, its ``<|end|>``. As in the published notes on the
details of RLHF (Huang et al. 2024, arXiv 2403.17031): the head starts with weights of deviation 1/sqrt(d + 1) and
without bias; and what policies are trained against is the score normalised by what demonstrations get. Here the
chosen answers stand for demonstrations, and each modality has its own mean and deviation: pooled ones let a policy
gain in one modality what it loses in another.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from omni.checkpoint import read_model, take_weights, vocabulary_of
from omni.modality import MODALITIES
from omni.model import OmniTransformer
from omni.nn.config import ModelConfig, Vocabulary
from omni.nn.precision import at_least_fp32
from omni.preference import PairBatch
from omni.sequence import OmniBatch
from omni.tokenizers.bundle import Tokenizers
from omni.training.preference import Compared, Preference, ends_of, require_start

HEAD = "reward_head."
REMEMBERED = 0.98
"""Share of the sums behind mean and deviation that a step keeps: they are over the latest 50 steps or so."""


class RewardHead(nn.Module):
    """Hidden state to score, and the scores' mean and deviation by modality."""

    moments: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, width))
        self.bias = nn.Parameter(torch.zeros(1))
        self.register_buffer("moments", torch.zeros(3, len(MODALITIES)))

    def initialise(self, seed: int) -> None:
        """Draw the weights."""
        generator = torch.Generator().manual_seed(seed)
        drawn = torch.randn(self.weight.shape, generator=generator) / math.sqrt(self.weight.shape[1] + 1)
        with torch.no_grad():
            self.weight.copy_(drawn)
            self.bias.zero_()

    def forward(self, x_nD: Float[Tensor, "n D"]) -> Float[Tensor, " n"]:
        """Scores, at least fp32."""
        return at_least_fp32(F.linear(x_nD, self.weight, self.bias)).squeeze(-1)

    @torch.no_grad()
    def remember(self, sums: Float[Tensor, "3 M"]) -> None:
        """Take in a step's count, sum and sum of squares of the scores of chosen answers."""
        self.moments.mul_(REMEMBERED).add_(sums)

    def normalised(self, scores_n: Float[Tensor, " n"], answers_n: Int[Tensor, " n"]) -> Float[Tensor, " n"]:
        """Scores with mean 0 and deviation 1 over chosen answers of their modality; as they are before any came."""
        count_M, sum_M, square_M = self.moments
        known_M = count_M > 0
        mean_M = sum_M / count_M.clamp(min=1e-6)
        variance_M = square_M / count_M.clamp(min=1e-6) - mean_M.square()
        deviation_M = torch.where(known_M, variance_M, 1.0).clamp(min=1e-6).sqrt()
        return (scores_n - mean_M[answers_n]) / deviation_M[answers_n]


class RewardModel(OmniTransformer):
    """The unified transformer with a score in place of a next position; the other heads stay, and aren't trained."""

    added = (HEAD,)

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__(config, vocabulary)
        self.reward_head = RewardHead(config.width)
        heads = [self.image_head, self.audio_head, *([] if config.text.tied else [self.text_head])]
        for head in heads:
            head.requires_grad_(False)

    def initialise(self, seed: int) -> None:
        """Draw all weights as ``config.init`` says, those of the new head by its own rule."""
        super().initialise(seed)
        self.reward_head.initialise(seed)

    def scores(self, batch: OmniBatch) -> Float[Tensor, " documents"]:
        """Score of each document of ``batch.lengths``; that of padding means nothing."""
        x_ND = self(batch).x_BSD.flatten(0, 1)
        return self.reward_head(x_ND.index_select(0, ends_of(batch)))


def load_reward_model(path: Path | str, device: torch.device | str = "cpu") -> tuple[RewardModel, Tokenizers]:
    """The reward model of a checkpoint of ``stage: reward``, in evaluation mode, and its tokenizers.

    Raises:
        ValueError: as ``read_model``, or not a checkpoint of that stage.
    """
    config, tokenizers, weights = read_model(path)
    if not any(name.startswith(HEAD) for name in weights):
        raise ValueError(
            f"{path}: no reward head in it; expected a checkpoint of `omni fit` with stage: reward"
        )
    model = RewardModel(config, vocabulary_of(tokenizers))
    take_weights(model, weights, str(path))
    return model.to(device).eval(), tokenizers


class RewardTraining(Preference):
    """Trains a reward model: ``-log sigmoid(score of the chosen - score of the rejected)`` for each pair."""

    network_kind = RewardModel
    model: RewardModel
    figures = ("accuracy", "margin", "reward")
    extremes = "reward"
    pending: Tensor
    """Count, sum and sum of squares of the scores of this step's chosen answers, by modality."""

    def __init__(self, *, init_from: str | None = None, **kwargs: Any) -> None:
        """
        Args:
            init_from: checkpoint to start from; needed.
            kwargs: as of ``Pretrain``.
        """
        super().__init__(init_from=require_start(init_from, "a reward model"), **kwargs)
        self.register_buffer("pending", torch.zeros(3, len(MODALITIES)), persistent=False)

    def compare(self, batch: PairBatch) -> Compared:
        """Losses, and TRL's figures of a reward model."""
        scores = self.model.scores(batch)
        index = torch.tensor(batch.pairs, dtype=torch.int64, device=scores.device).view(-1, 2)
        chosen, rejected = scores[index[:, 0]], scores[index[:, 1]]
        margin = chosen - rejected
        figures = {
            "accuracy": (margin > 0).to(margin.dtype),
            "margin": margin,
            "reward": torch.cat([chosen, rejected]),
        }
        if self.training:
            self._note(chosen.detach(), self._answers(batch))
        return Compared(-F.logsigmoid(margin), figures)

    def _note(self, scores: Tensor, answers: Tensor) -> None:
        sums = torch.stack([torch.ones_like(scores), scores, scores.square()]).to(self.pending.dtype)
        self.pending.index_add_(1, answers, sums)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        """Step, then take in the scores of the whole step, all batches and ranks."""
        super().optimizer_step(*args, **kwargs)
        sums = self.trainer.strategy.reduce(self.pending.clone(), reduce_op="sum")
        assert isinstance(sums, Tensor)
        self.model.reward_head.remember(sums)
        self.pending.zero_()
