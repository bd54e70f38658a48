"""Batches and configs that measured steps run on."""

from __future__ import annotations

from typing import Any

import torch

from omni.losses import compute_losses
from omni.model import OmniTransformer
from omni.nn.config import (
    AudioHeadConfig,
    ImageHeadConfig,
    ModelConfig,
    MoEConfig,
    TextHeadConfig,
    Vocabulary,
)
from omni.sequence import OmniBatch

VOCABULARY = Vocabulary(text=2048, patch_values=48, max_grid=8, codebooks=4, codebook_size=64)


def small_config(**changes: Any) -> ModelConfig:
    """Width 128, four layers, eight experts of which two are active."""
    settings: dict[str, Any] = {
        "width": 128,
        "layers": 4,
        "heads": 4,
        "kv_heads": 2,
        "moe": MoEConfig(experts=8, top_k=2, expert_width=96),
        "text": TextHeadConfig(chunk=256),
        "image": ImageHeadConfig(width=64, depth=1),
        "audio": AudioHeadConfig(width=64, depth=1),
    }
    return ModelConfig(**(settings | changes))


def text_batch(rows: int, length: int, vocabulary: Vocabulary = VOCABULARY) -> OmniBatch:
    """Rows of one document of text each, all of it to be learnt."""
    shape = (rows, length)
    return OmniBatch(
        modality=torch.zeros(shape, dtype=torch.uint8),
        text_ids=torch.randint(0, vocabulary.text, shape),
        coords=torch.arange(length).view(1, -1, 1).repeat(rows, 1, 3),
        loss=torch.ones(shape, dtype=torch.bool),
        patches=torch.zeros(0, vocabulary.patch_values),
        codes=torch.zeros(0, vocabulary.codebooks, dtype=torch.long),
        lengths=(length,) * rows,
        targets=torch.tensor([rows * length, 1, 1]),
        step_positions=rows * length,
        keys=tuple(str(row) for row in range(rows)),
    )


def backward(model: OmniTransformer, batch: OmniBatch, half: bool) -> None:
    """One forward and one backward pass; in 16 bits under autocast where ``half``."""
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = compute_losses(model, model(batch), batch).total
    loss.backward()
