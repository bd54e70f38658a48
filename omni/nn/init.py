"""Weights at the start.

Standard: normal of 1/sqrt(fan-in). The maximal-update parametrization (µP, arXiv 2203.03466, table 3) keeps
activations, and what a step changes of them, at one scale over widths: tables don't shrink with the width,
matrices out of the stream start smaller by another 1/sqrt(width), and ``omni.optim.groups`` divides the learning
rates of hidden and output matrices by the width.
"""

from __future__ import annotations

import math

import torch
from torch import nn

from omni.nn.config import ModelConfig
from omni.nn.roles import Role, roles_of

WRITERS = (".attention.out.weight", ".w2.weight", ".w2")
"""How the names of the matrices end that write to the stream."""
ZEROS = (".modulation.weight", ".velocity.weight", "bias")
"""How the names of what starts at zero end: the heads' blocks begin as the identity (DiT's adaLN-zero)."""
LAST = "audio_head.logits"
"""Drawn behind all others, so that a seed's weights stay what they were."""


@torch.no_grad()
def initialise(model: nn.Module, config: ModelConfig, seed: int) -> None:
    """Draw all weights of an ``OmniTransformer``: a function of config and seed. Norms begin with gains of 1."""
    generator = torch.Generator(device="cpu").manual_seed(seed)
    roles = roles_of(model)
    convolutions = {id(module.weight) for module in model.modules() if isinstance(module, nn.Conv1d)}
    for name, weight in sorted(model.named_parameters(), key=lambda named: named[0] == LAST):
        if roles[name] == "vector":
            weight.fill_(1.0)
        else:
            drawn = torch.randn(weight.shape, generator=generator)
            fan_in = weight[0].numel() if id(weight) in convolutions else weight.shape[-1]
            weight.copy_(drawn * _deviation(name, roles[name], fan_in, config))
        if name.endswith(ZEROS):
            weight.zero_()


def _deviation(name: str, role: Role, fan_in: int, config: ModelConfig) -> float:
    """Standard deviation of a matrix."""
    ratio = math.sqrt(config.width_ratio)
    if role == "table":
        return ratio / math.sqrt(config.width)
    if role == "output":
        return 1.0 / math.sqrt(fan_in) / ratio
    writes = name.endswith(WRITERS) and config.init.depth_scaled
    return (1.0 / math.sqrt(2 * config.layers) if writes else 1.0) / math.sqrt(fan_in)
