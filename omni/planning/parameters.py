"""How many parameters a config has, by part, read off the model itself on the meta device: no memory is taken."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache

import torch

from omni.model import OmniTransformer
from omni.nn.config import ModelConfig, Vocabulary

EXPERTS = "experts"
HEADS = ("text_head", "image_head", "audio_head")
TOWERS = {"image": "image_tower", "audio": "audio_tower"}
"""Part of each encoder, without its projector."""
PROJECTORS = "projectors"
OUTSIDE = ("embed", *TOWERS.values(), PROJECTORS, *HEADS)
"""Parts before and behind the blocks."""
PARTS = (
    "embed",
    *TOWERS.values(),
    PROJECTORS,
    "attention",
    "router",
    EXPERTS,
    "shared",
    "dense",
    "norms",
    *HEADS,
)
"""Parts of the model, in the order of the forward pass."""


@dataclass(frozen=True)
class Parameters:
    """Numbers of parameters."""

    parts: dict[str, int]
    """By part, over all layers. A tied text head has none of its own."""
    total: int
    active: int
    """Those that one position uses in the backbone: of the experts, ``top_k`` of a layer."""

    @property
    def shared(self) -> int:
        """Parameters outside of the experts."""
        return self.total - self.parts[EXPERTS]


def default_vocabulary(config: ModelConfig) -> Vocabulary:
    """A vocabulary to plan with while no tokenizers are named.

    Larger models take larger vocabularies (arXiv 2407.13623): 16 text tokens for each unit of width, 2,048 at
    least and 131,072 at most; RGB patches of 16 x 16 pixels and eight codebooks from width 1,024 on, of 8 x 8
    pixels and four codebooks below.
    """
    large = config.width >= 1024
    return Vocabulary(
        text=min(131_072, max(2_048, 16 * config.width)),
        patch_values=768 if large else 192,
        max_grid=64,
        codebooks=8 if large else 4,
        codebook_size=min(2_048, max(256, config.width)),
    )


def meta_model(config: ModelConfig, vocabulary: Vocabulary) -> OmniTransformer:
    """The model with shapes and no memory."""
    with torch.device("meta"):
        return OmniTransformer(config, vocabulary)


@cache
def count_parameters(config: ModelConfig, vocabulary: Vocabulary) -> Parameters:
    """Parameters of the model by part."""
    model = meta_model(config, vocabulary)
    counted = Counter({_part(name): 0 for name, _ in model.named_parameters()})
    for name, parameter in model.named_parameters():
        counted[_part(name)] += parameter.numel()
    totals = model.parameter_counts()
    parts = {part: counted[part] for part in PARTS}
    assert sum(parts.values()) == totals["total"], (parts, totals)
    return Parameters(parts, totals["total"], totals["active"])


def _part(name: str) -> str:
    """Part that a parameter belongs to, such as ``blocks.3.moe.experts.w13`` to the experts."""
    steps = name.split(".")
    if steps[0] in ("embed", *HEADS):
        return steps[0]
    if steps[0] == "encoders":
        return TOWERS[steps[1]] if steps[2] == "tower" else PROJECTORS
    if any(step.endswith("norm") for step in steps):
        return "norms"
    return next(step for step in steps if step in PARTS)
