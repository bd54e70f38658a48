"""Settings of optimizer and learning-rate schedule."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from omni.nn.checks import at_least, positive, require
from omni.nn.config import KEY as NETWORK_KEY
from omni.nn.config import ModelConfig

KEY = "model.optim"
"""Where these settings stand in a run's config, for messages."""

Adjust = Literal["original", "match_rms_adamw", "spectral_unclamped"]
"""How Muon's learning rate follows from a matrix of r rows and c columns; the names are those of
``torch.optim.Muon``: sqrt(max(1, r / c)), 0.2 * sqrt(max(r, c)) and sqrt(r / c)."""


@dataclass(frozen=True, kw_only=True)
class MuonConfig:
    """Muon, for the matrices of the layers, where ``optimizer`` is ``muon``."""

    lr_scale: float = 1.0
    """Learning rate of the matrices, as a multiple of ``lr``."""
    momentum: float = 0.95
    """Decay rate of the momentum (Nesterov's)."""
    steps: int = 5
    """Newton-Schulz iterations."""
    adjust: Adjust = "match_rms_adamw"
    """How the learning rate follows the shape of a matrix. The default makes the updates as large as AdamW's,
    so that learning rate and weight decay hold for both (arXiv 2502.16982)."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Of the Newton-Schulz iteration."""

    def __post_init__(self) -> None:
        positive(self, f"{KEY}.muon.", "lr_scale")
        at_least(self, f"{KEY}.muon.", momentum=0, steps=1)
        require(self.momentum < 1, f"{KEY}.muon.momentum must be in [0, 1), got {self.momentum}")


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """Optimizer, with warm-up and decay of its learning rate."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """AdamW for all; or Muon for the matrices of the layers and AdamW for routers, embeddings, heads and norms."""
    lr: float = 3e-4
    """Peak learning rate."""
    betas: tuple[float, float] = (0.9, 0.95)
    """Decay rates of AdamW's moments."""
    weight_decay: float = 0.1
    """Decoupled weight decay of matrices."""
    decay_vectors: bool = False
    """Whether norms and biases decay, too."""
    decay_embeddings: bool = False
    """Whether embedding tables decay, too (and a text head that is tied to one)."""
    fused: bool = True
    """AdamW in one kernel where torch has one for the device; otherwise operation by operation (foreach)."""
    muon: MuonConfig = field(default_factory=MuonConfig)
    """Settings of Muon."""
    warmup_steps: int = 100
    """Steps of linear warm-up."""
    schedule: Literal["cosine", "wsd", "constant"] = "cosine"
    """After warm-up: cosine to ``final_share``; constant, then decay (warm-up-stable-decay, arXiv 2404.06395); or
    constant."""
    final_share: float = 0.1
    """Learning rate at the end, as a share of the peak."""
    decay_share: float = 0.2
    """Share of the steps behind the warm-up that WSD decays over."""
    decay_curve: Literal["linear", "exponential", "sqrt"] = "linear"
    """How WSD decays: linear; exponential, as in its paper; or 1 - sqrt (arXiv 2405.18392)."""

    def __post_init__(self) -> None:
        positive(self, f"{KEY}.", "lr")
        at_least(self, f"{KEY}.", warmup_steps=0, weight_decay=0)
        for number, beta in enumerate(self.betas):
            require(0 <= beta < 1, f"{KEY}.betas[{number}] must be in [0, 1), got {beta}")
        require(0 <= self.final_share <= 1, f"{KEY}.final_share must be in [0, 1], got {self.final_share}")
        require(0 < self.decay_share <= 1, f"{KEY}.decay_share must be in (0, 1], got {self.decay_share}")
        require(
            self.schedule != "wsd" or self.decay_curve != "exponential" or self.final_share > 0,
            f"{KEY}.final_share must be positive with {KEY}.decay_curve exponential, got {self.final_share}",
        )

    def check_with(self, network: ModelConfig) -> None:
        """Check what can only be checked against the model.

        Raises:
            ValueError: Muon's updates grow with the width where µP is to keep them.
        """
        require(
            self.optimizer != "muon" or network.init.method != "mup" or self.muon.adjust != "match_rms_adamw",
            f"{KEY}.muon.adjust must be spectral_unclamped or original with {NETWORK_KEY}.init.method mup, got "
            f"match_rms_adamw, whose updates grow with the width",
        )

    def lr_share(self, step: int, total: int) -> float:
        """Learning rate of ``step`` (from 0) of ``total``, as a share of the peak."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        done = min(1.0, (step - self.warmup_steps) / max(1, total - self.warmup_steps))
        if self.schedule == "cosine":
            return self.final_share + (1 - self.final_share) * 0.5 * (1 + math.cos(math.pi * done))
        if self.schedule == "wsd":
            return self._decayed(max(0.0, (done - (1 - self.decay_share)) / self.decay_share))
        return 1.0

    def _decayed(self, done: float) -> float:
        """Share of the peak after ``done`` of WSD's decay."""
        if self.decay_curve == "exponential":
            return self.final_share**done
        return 1 - (1 - self.final_share) * (math.sqrt(done) if self.decay_curve == "sqrt" else done)
