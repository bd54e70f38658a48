"""What each parameter does: where it stands between data and stream decides how it is drawn and learnt."""

from __future__ import annotations

from typing import Literal

from torch import nn

from omni.nn.attention import Attention
from omni.nn.feed_forward import SwiGLU
from omni.nn.moe.experts import Experts
from omni.nn.moe.router import Router

Role = Literal["vector", "table", "input", "hidden", "output"]
"""``vector``: norms and biases. ``table``: embeddings. ``input``: a matrix from a fixed number of values to a
width. ``hidden``: from a width to a width. ``output``: from a width to a fixed number of values."""

INPUTS = (
    "embed.patch.weight",
    "image_head.time.weight",
    "image_head.noisy.weight",
    "encoders.image.tower.patch.weight",
)
OUTPUTS = ("text_head.linear.weight", "image_head.velocity.weight", "audio_head.logits")
BLOCKS = "blocks."
"""Names of the layers' parameters begin so; all others are those of embeddings and heads."""


def roles_of(model: nn.Module) -> dict[str, Role]:
    """The role of each parameter by name; a text head that is tied to its table is a ``table``."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    routers = {id(module.weight) for module in model.modules() if isinstance(module, Router)}
    roles: dict[str, Role] = {}
    for name, parameter in model.named_parameters():
        if parameter.ndim < 2:
            roles[name] = "vector"
        elif id(parameter) in tables:
            roles[name] = "table"
        elif name in INPUTS:
            roles[name] = "input"
        elif name in OUTPUTS or id(parameter) in routers:
            roles[name] = "output"
        else:
            roles[name] = "hidden"
    return roles


def stacked_rows(model: nn.Module) -> dict[str, tuple[int, ...]]:
    """Rows of each matrix in parameters that hold several on top of each other, by name.

    Queries, keys and values are one matrix product, and so are gate and up of SwiGLU.
    """
    rows: dict[str, tuple[int, ...]] = {}
    for name, module in model.named_modules():
        if isinstance(module, Attention):
            rows[f"{name}.qkv.weight"] = tuple(module.widths)
        elif isinstance(module, SwiGLU):
            rows[f"{name}.w13.weight"] = (module.w2.in_features,) * 2
        elif isinstance(module, Experts):
            rows[f"{name}.w13"] = (module.w2.shape[-1],) * 2
    return rows
