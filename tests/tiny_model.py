"""A tiny model and batches for it: what tests of the network, the losses, generation and training run on."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import Any

import torch

from omni.checkpoint import vocabulary_of
from omni.layout import Layout
from omni.model import OmniTransformer
from omni.nn.config import AudioHeadConfig, ImageHeadConfig, ModelConfig, MoEConfig, Vocabulary
from omni.sequence import Document, Sequence
from tests.tiny import tiny_tokenizers

VOCABULARY = Vocabulary(text=20, patch_values=4, max_grid=3, codebooks=3, codebook_size=5)
"""For tests of single layers, which need no tokenizers."""


def tiny_config(**changes: Any) -> ModelConfig:
    """Width 32, two layers, grouped queries, four experts of which each position goes to two."""
    settings: dict[str, Any] = {
        "width": 32,
        "layers": 2,
        "heads": 4,
        "kv_heads": 2,
        "moe": MoEConfig(experts=4, top_k=2, expert_width=16),
        "image": ImageHeadConfig(width=24, depth=1, draws=2),
        "audio": AudioHeadConfig(width=24, depth=1),
    }
    return ModelConfig(**(settings | changes))


def tiny_model(
    seed: int = 0, dtype: torch.dtype = torch.float32, vocabulary: Vocabulary | None = None, **changes: Any
) -> OmniTransformer:
    """A model for ``tiny_tokenizers`` in which nothing is zero, so that every path matters from the start."""
    model = OmniTransformer(tiny_config(**changes), vocabulary or vocabulary_of(tiny_tokenizers()))
    model.initialise(seed)
    shake(model, seed)
    return model.to(dtype)


@torch.no_grad()
def shake(module: torch.nn.Module, seed: int = 0) -> None:
    """Add noise to all weights, and to the routers' biases."""
    generator = torch.Generator().manual_seed(seed)
    buffers = [buffer for name, buffer in module.named_buffers() if name.endswith("router.bias")]
    for tensor in [*module.parameters(), *buffers]:
        tensor += 0.1 * torch.randn(tensor.shape, generator=generator).to(tensor)


def sequences_of(documents: Seq[Document]) -> list[Sequence]:
    """The documents as positions."""
    layout = Layout(tiny_tokenizers())
    return [layout.encode(document) for document in documents]


def gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the gradients by name; zeros where there is none."""
    return {
        name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
        for name, p in module.named_parameters()
    }
