"""The model and the batches of ``benchmarks.omni_step``, and a training step on each."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.attention import DenseMask
from benchmarks.omni_step_documents import Span, made_sequence
from omni.datamodules.collate import collate
from omni.datamodules.packing import best_fit_decreasing
from omni.losses import compute_losses, corrupt_inputs
from omni.model import OmniTransformer
from omni.nn.config import AudioHeadConfig, ImageHeadConfig, ModelConfig, MoEConfig, Vocabulary
from omni.nn.document_attention import PackedAttention
from omni.nn.noise import Noise
from omni.optim.build import build_optimizer
from omni.optim.config import OptimConfig
from omni.sequence import OmniBatch, Sequence

VOCABULARY = Vocabulary(text=8192, patch_values=16, max_grid=32, codebooks=6, codebook_size=256)
STACK = ModelConfig(
    width=384,
    layers=4,
    heads=6,
    kv_heads=2,
    moe=MoEConfig(experts=16, top_k=2, expert_width=512),
    image=ImageHeadConfig(width=256),
    audio=AudioHeadConfig(width=256),
)
"""The stack of ``benchmarks.moe_step``, with heads two thirds as wide."""
LEARNING_RATE = 1e-7  # a step costs what it costs, and the weights stay what they were
CLIP = 1.0


@dataclass(frozen=True)
class Rows:
    """What a step reads: rows of documents before they are laid out, and how attention sees them."""

    rows: tuple[tuple[Sequence, ...], ...]
    length: int
    dense: bool = False
    """Attention with a mask of all pairs of a row."""

    def batch(self) -> OmniBatch:
        """The documents laid out."""
        return collate(self.rows, self.length, row_numbers=range(len(self.rows)))

    def context(self, batch: OmniBatch) -> PackedAttention | DenseMask:
        """Attention over the batch; a mask counts, as it is made anew for each batch."""
        return DenseMask(batch.lengths, len(self.rows)) if self.dense else PackedAttention(batch.lengths)


def packed(outlines: Seq[list[Span]], rows: int, length: int, vocabulary: Vocabulary) -> Rows:
    """As many of the documents as fit into the rows, packed best-fit, the first ones first."""
    lengths = np.array([sum(positions for _, positions, _ in outline) for outline in outlines])
    count = int(np.searchsorted(lengths.cumsum(), rows * length, side="right"))
    while (row_of := best_fit_decreasing(lengths[:count], length)).max() >= rows:
        count -= 1
    random = np.random.default_rng(0)
    sequences = [
        made_sequence(outline, vocabulary, str(n), random) for n, outline in enumerate(outlines[:count])
    ]
    dealt = [tuple(s for s, at in zip(sequences, row_of, strict=True) if at == row) for row in range(rows)]
    return Rows(tuple(dealt), length)


def padded(rows: Rows) -> Rows:
    """The same documents, each in a row of its own as long as the longest, with dense masks."""
    alone = tuple((sequence,) for row in rows.rows for sequence in row)
    return Rows(alone, max(len(sequence) for (sequence,) in alone), dense=True)


def with_dense_masks(rows: Rows) -> Rows:
    """The same rows with dense masks."""
    return replace(rows, dense=True)


class Trainer:
    """A model with its optimizer, and the training step of ``omni fit`` without Lightning."""

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary, half: bool) -> None:
        self.model = OmniTransformer(config, vocabulary)
        self.model.initialise(0)
        optim = OptimConfig(lr=LEARNING_RATE, warmup_steps=1, schedule="constant")
        self.optimizer, _ = build_optimizer(self.model, optim, 1)
        self.half = half

    def autocast(self) -> torch.autocast:
        """bf16 where it is asked for."""
        return torch.autocast("cpu", torch.bfloat16, enabled=self.half)

    def step(self, rows: Rows) -> Tensor:
        """Lay out, forward, backward, optimizer; the loss."""
        batch = rows.batch()
        noise = Noise.of_rows(batch, 0)
        with self.autocast():
            hidden = self.model(corrupt_inputs(batch, self.model, noise), rows.context(batch))
            total = compute_losses(self.model, hidden, batch, noise).total
        total.backward()
        self.update()
        return total.detach()

    def update(self) -> None:
        """The optimizer's part of a step."""
        nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        for router in self.model.routers():
            router.balance()
        self.optimizer.zero_grad(set_to_none=True)
