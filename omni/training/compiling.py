"""``torch.compile`` for the parts of the network where it pays, each without a graph break.

Between the parts stands what can't be compiled, or would be compiled anew for each batch: attention over documents,
whose lengths differ from batch to batch; the choice and order of the experts' rows; and grouped products, which the
compiler refuses in fp32.
"""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass

import torch

from omni.model import OmniTransformer
from omni.nn.block import Block
from omni.nn.moe.experts import Experts
from omni.nn.moe.swiglu import Activation, plain_gradients, plain_swiglu

KEY = "model.compile"
"""Where these settings stand in a run's config, for messages."""


@dataclass(frozen=True, kw_only=True)
class CompileConfig:
    """What is compiled when training begins; the first steps then take a minute longer."""

    experts: bool = False
    """The activation between the experts' products and its gradient: one kernel each."""
    attention: bool = False
    """The norms of the blocks, and projection, QK-norm and rotation of queries, keys and values."""

    @property
    def enabled(self) -> bool:
        """Whether anything is."""
        return self.experts or self.attention


def compile_parts(model: OmniTransformer, config: CompileConfig, device: torch.device) -> None:
    """Compile what ``config`` says, in place; names of parameters stay.

    Raises:
        ValueError: no C++ compiler, which kernels for CPU need.
    """
    if config.enabled and device.type == "cpu":
        _require_compiler()
    if config.experts:
        activation = compiled_activation()
        for module in model.modules():
            if isinstance(module, Experts):
                module.activation = activation
    if config.attention:
        for block in model.blocks:
            assert isinstance(block, Block), type(block)
            block.attention_norm.compile(fullgraph=True)
            block.feed_forward_norm.compile(fullgraph=True)
            attention = block.attention
            attention.project = torch.compile(attention.project, fullgraph=True)  # type: ignore[method-assign]


def compiled_activation() -> Activation:
    """SwiGLU and its gradient as one kernel each."""
    return Activation(*(torch.compile(part, fullgraph=True) for part in (plain_swiglu, plain_gradients)))


def _require_compiler() -> None:
    name = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if shutil.which(name) is None:
        raise ValueError(
            f"{KEY} needs a C++ compiler on CPU, and {name!r} is not found: install it, name another by the "
            f"environment variable CXX, or leave {KEY} out"
        )
