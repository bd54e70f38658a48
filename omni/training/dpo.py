"""Direct preference optimisation (arXiv 2305.18290) over answers of any modality.

The loss of a pair is ``-log sigmoid(beta * ((c - c_ref) - (r - r_ref)))`` with the log-probabilities of chosen and
rejected answer under the policy and under the frozen model that it started from. Those of pictures are Diffusion-DPO's
surrogate (``omni.training.log_probs``): policy and reference, chosen and rejected get the same noise.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from omni.model import OmniTransformer
from omni.nn.noise import Noise, document_of
from omni.preference import PairBatch
from omni.training.log_probs import document_log_probs
from omni.training.preference import Compared, Preference, require_start
from omni.training.start import frozen_copy


@dataclass(frozen=True, kw_only=True)
class DpoConfig:
    """Settings of the loss."""

    beta: float = 0.1
    """How much a nat of difference to the reference counts; small lets the policy go far."""
    label_smoothing: float = 0.0
    """Share of preferences that are taken to be the wrong way round (conservative DPO)."""
    picture_scale: float = 1.0
    """Weight of the pictures' surrogate against tokens and codes."""

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise ValueError(f"model.dpo.beta must be positive, got {self.beta}")
        if not 0 <= self.label_smoothing < 0.5:
            raise ValueError(f"model.dpo.label_smoothing must be in [0, 0.5), got {self.label_smoothing}")
        if self.picture_scale < 0:
            raise ValueError(f"model.dpo.picture_scale must not be negative, got {self.picture_scale}")


class Dpo(Preference):
    """Trains a policy on preferences, against a frozen copy of the model that it starts from.

    The copy is made from ``init_from``, not saved: a run that is resumed needs that checkpoint, too.
    """

    figures = (
        "rewards/accuracies",
        "rewards/chosen",
        "rewards/rejected",
        "rewards/margins",
        "logps/chosen",
        "logps/rejected",
    )

    def __init__(
        self,
        *,
        init_from: str | None = None,
        dpo: DpoConfig = DpoConfig(),
        **kwargs: Any,
    ) -> None:
        """
        Args:
            init_from: checkpoint to start from, and the reference; needed.
            dpo: settings of the loss.
            kwargs: as of ``Pretrain``.
        """
        super().__init__(init_from=require_start(init_from, "DPO"), **kwargs)
        self.dpo = dpo
        self._reference = [frozen_copy(self.model)]  # in a list, so that it is no part of the checkpoint

    @property
    def reference(self) -> OmniTransformer:
        """The frozen model, where the policy is."""
        (model,) = self._reference
        return model.to(next(self.model.parameters()))

    def compare(self, batch: PairBatch) -> Compared:
        """Losses, and TRL's figures of DPO: rewards are ``beta * (policy - reference)`` in nats."""
        policy = self.log_probs(self.model, batch)
        with torch.no_grad():
            reference = self.log_probs(self.reference, batch)
        index = torch.tensor(batch.pairs, dtype=torch.int64, device=policy.device).view(-1, 2)
        rewards = self.dpo.beta * (policy - reference)
        chosen, rejected = rewards[index[:, 0]], rewards[index[:, 1]]
        margin, doubt = chosen - rejected, self.dpo.label_smoothing
        losses = -(1 - doubt) * F.logsigmoid(margin) - doubt * F.logsigmoid(-margin)
        figures = {
            "rewards/accuracies": (margin > 0).to(margin.dtype),
            "rewards/chosen": chosen,
            "rewards/rejected": rejected,
            "rewards/margins": margin,
            "logps/chosen": policy[index[:, 0]],
            "logps/rejected": policy[index[:, 1]],
        }
        return Compared(losses, figures)

    def log_probs(self, model: OmniTransformer, batch: PairBatch) -> Float[Tensor, " documents"]:
        """Of the learned parts of each document, over all modalities."""
        scale = self.dpo.picture_scale
        return document_log_probs(model, model(batch), batch, self._noise(batch), scale).sum(-1)

    def _noise(self, batch: PairBatch) -> Noise:
        """A function of seed, step and pair: the same for both answers, wherever the pair lies."""
        step = self.trainer.global_step if self.training else -1
        seeds = [0] * len(batch.lengths)
        for key, pair in zip(batch.pair_keys, batch.pairs, strict=True):
            drawn = hash((self.seed, step, zlib.crc32(key.encode()))) & (2**63 - 1)
            for document in pair:
                seeds[document] = drawn
        return Noise(document_of(batch), seeds)
