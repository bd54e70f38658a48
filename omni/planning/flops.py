"""FLOPs of one position, by part: exact for matrix products and attention; what is pointwise counts nothing.

A multiplication and an addition are two FLOPs. Attention is counted causally: position i of a document of L
looks at i + 1 keys, so at (L + 1) / 2 in the mean.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from omni.nn.config import ModelConfig, Vocabulary
from omni.nn.heads.image import TIME_FEATURES
from omni.planning.encoders import Encoding, encoding_of
from omni.planning.parameters import OUTSIDE
from omni.planning.workload import Workload

Checkpointing = Literal["none", "block"]
"""What is computed again in the backward pass: nothing, or each block from its input."""

SCORES = "scores"
"""Part of the attention that isn't a projection: queries by keys, weights by values."""


@dataclass(frozen=True)
class Flops:
    """FLOPs of one position of the mean composition."""

    parts: dict[str, float]
    """Of the forward pass, by part."""
    gradless: float = 0.0
    """Of those, products whose input needs no gradient: the patches' projection."""
    encoding: Encoding = field(default_factory=Encoding)
    """What encoders do, which is among the parts, too."""

    @property
    def forward(self) -> float:
        """Forward pass."""
        return sum(self.parts.values())

    @property
    def training(self) -> float:
        """Forward and backward as the model needs them: three times the forward (PaLM, arXiv 2204.02311, B).

        Frozen towers run forward only.
        """
        return 3 * self.forward - 2 * self.encoding.frozen - self.gradless

    def hardware(self, checkpointing: Checkpointing = "none") -> float:
        """What is run: flash attention computes its scores again, so its backward is 2.5 forwards; and with
        checkpointing the blocks run forward once more (what lies outside of them does not)."""
        recomputed = sum(value for part, value in self.parts.items() if part not in OUTSIDE)
        again = recomputed if checkpointing == "block" else 0.0
        return self.training + 0.5 * (self.parts[SCORES] + self.encoding.scores) + again


def flops_of(config: ModelConfig, vocabulary: Vocabulary, workload: Workload) -> Flops:
    """FLOPs of one position of ``workload``; those that are learnt are targets of their own modality's head."""
    width, moe, mix, learnt = config.width, config.moe, workload.mix, workload.learnt
    encoding = encoding_of(config, vocabulary, workload)
    drawn = mix.image * learnt.image * config.image.generate
    said = mix.audio * learnt.audio * config.audio.generate
    sparse = config.layers - moe.dense_layers
    kv_width = config.kv_heads * config.head_channels
    keys = (workload.attended + 1) / 2
    patch = 2.0 * vocabulary.patch_values * width * mix.image
    parts = {
        "embed": patch,
        **encoding.parts,
        "attention": config.layers * 2.0 * width * (2 * width + 2 * kv_width),
        SCORES: config.layers * 4.0 * width * keys,
        "router": sparse * 2.0 * width * moe.experts,
        "experts": sparse * 6.0 * width * moe.expert_width * moe.top_k,
        "shared": sparse * 6.0 * width * moe.shared_width,
        "dense": moe.dense_layers * 6.0 * width * moe.expert_width * moe.top_k,
        "text_head": 2.0 * width * vocabulary.text * mix.text * learnt.text,
        "image_head": _image_head(config, vocabulary) * drawn,
        "audio_head": _audio_head(config, vocabulary) * said,
    }
    noisy = 2.0 * config.image.draws * (vocabulary.patch_values + TIME_FEATURES) * config.image.width
    return Flops(parts, patch + noisy * drawn + encoding.gradless, encoding)


def _modulated(width: int) -> float:
    """One modulated block: three matrices for the modulation, one up, one down."""
    return 10.0 * width * width


def _image_head(config: ModelConfig, vocabulary: Vocabulary) -> float:
    """One patch: the condition once, the flow for each draw."""
    width, depth = config.image.width, config.image.depth
    draw = 2.0 * width * (TIME_FEATURES + 2 * vocabulary.patch_values) + depth * _modulated(width)
    return 2.0 * config.width * width + config.image.draws * draw


def _audio_head(config: ModelConfig, vocabulary: Vocabulary) -> float:
    """One position: the condition once, the blocks and the logits for each code that stands there."""
    width, depth = config.audio.width, config.audio.depth
    code = depth * _modulated(width) + 2.0 * width * (vocabulary.codebook_size + 1)
    codes = 1 if config.audio.layout == "flat" else vocabulary.codebooks
    return 2.0 * config.width * width + codes * code
