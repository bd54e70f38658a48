"""Settings of long contexts: rotary frequencies, and what is computed again instead of kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from omni.nn.checks import at_least, require

ROPE, RECOMPUTE = "model.network.rope.", "model.network.recompute."
"""Where these settings stand in a run's config, for messages."""


@dataclass(frozen=True, kw_only=True)
class YarnConfig:
    """YaRN (arXiv 2309.00071): a model that was trained on short rows reads long ones.

    Channel pairs that turn often within the old context keep their frequency, those that never finish a turn are
    slowed down by ``factor``, and those between are mixed. Attention gets sharper with the context.
    """

    factor: float = 1.0
    """New context as a multiple of the old one; 1 leaves everything as it is."""
    original_length: int = 4096
    """Positions of the context that the weights were trained on."""
    slow_turns: float = 1.0
    """Pairs with at most this many turns in the old context are slowed down in full (alpha)."""
    fast_turns: float = 32.0
    """Pairs with at least this many keep their frequency (beta)."""

    def __post_init__(self) -> None:
        at_least(self, f"{ROPE}yarn.", factor=1, original_length=1, fast_turns=0)
        require(self.slow_turns > 0, f"{ROPE}yarn.slow_turns must be positive, got {self.slow_turns}")
        require(
            self.slow_turns < self.fast_turns,
            f"{ROPE}yarn.slow_turns must be below {ROPE}yarn.fast_turns, got {self.slow_turns} and {self.fast_turns}",
        )


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """Frequencies of the rotary positions."""

    base: float = 10_000.0
    """Pair i of C/2 turns by base^(-2i/C) a position. Longer contexts take a larger base (arXiv 2309.16039)."""
    yarn: YarnConfig = field(default_factory=YarnConfig)
    """Extension of a trained model to a longer context."""

    def __post_init__(self) -> None:
        at_least(self, ROPE, base=1)
        require(
            self.yarn.factor == 1 or self.base > 1,
            f"{ROPE}base must be above 1 with {ROPE}yarn.factor, got {self.base}",
        )


@dataclass(frozen=True, kw_only=True)
class RecomputeConfig:
    """Activation checkpointing: what the backward pass computes again, so that it need not be kept."""

    mode: Literal["none", "blocks", "operations"] = "none"
    """Nothing; whole blocks from their inputs; or of a block all but what is dear to compute: the attention and
    every second matrix product are kept (as torchtitan's selective checkpointing does)."""
    every: int = 1
    """Every n-th block is treated so, the first among them; the others keep everything."""

    def __post_init__(self) -> None:
        at_least(self, RECOMPUTE, every=1)
