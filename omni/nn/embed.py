"""The three input projections: one table for text, one linear map for patches, K tables for audio codes.

A patch also gets learnt vectors for its row and column (factorised, as in NaViT, arXiv 2307.06304): rotary
positions turn queries and keys only, so without them what a patch says does not say where it lies.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from omni.nn.config import Vocabulary


class Embed(nn.Module):
    """Positions of any modality to vectors of one width. Padding becomes zeros."""

    code_offsets_K: Tensor

    def __init__(self, width: int, vocabulary: Vocabulary, gaps: bool = False) -> None:
        """``gaps`` says that positions of audio may lack codes, as in the layouts ``delay`` and ``flat``."""
        super().__init__()
        self.gaps = gaps
        self.text = nn.Embedding(vocabulary.text, width)
        self.patch = nn.Linear(vocabulary.patch_values, width)
        self.row = nn.Embedding(vocabulary.max_grid, width)
        self.col = nn.Embedding(vocabulary.max_grid, width)
        self.codes = nn.Embedding(vocabulary.codebooks * vocabulary.codebook_size, width)
        offsets = torch.arange(vocabulary.codebooks) * vocabulary.codebook_size
        self.register_buffer("code_offsets_K", offsets, persistent=False)

    def forward(
        self,
        text_ids_BS: Int[Tensor, "B S"],
        is_text_BS: Bool[Tensor, "B S"],
        is_image_BS: Bool[Tensor, "B S"],
        is_audio_BS: Bool[Tensor, "B S"],
        patches_IP: Float[Tensor, "I P"],
        places_I2: Int[Tensor, "I 2"],
        codes_FK: Int[Tensor, "F K"],
    ) -> Float[Tensor, "B S D"]:
        """Embed text densely and scatter patches and frames to their positions, in order."""
        x_BSD = self.text(text_ids_BS) * is_text_BS.unsqueeze(-1)
        patch_ID = self.patch(patches_IP.to(self.patch.weight.dtype))
        patch_ID = patch_ID + self.row(places_I2[:, 0]) + self.col(places_I2[:, 1])
        if self.gaps:
            frame_FD = sum_of_codes(self.codes, codes_FK, self.code_offsets_K)
        else:
            frame_FD = self.codes(codes_FK + self.code_offsets_K).sum(1)
        x_BSD = x_BSD.masked_scatter(is_image_BS.unsqueeze(-1), patch_ID.to(x_BSD.dtype))
        return x_BSD.masked_scatter(is_audio_BS.unsqueeze(-1), frame_FD.to(x_BSD.dtype))


def sum_of_codes(
    table: nn.Embedding, codes_FK: Int[Tensor, "F K"], offsets_K: Int[Tensor, " K"]
) -> Float[Tensor, "F D"]:
    """Sum of the codes' entries; what is no code of its codebook (nothing, or the clip's end) adds none."""
    size = table.num_embeddings // len(offsets_K)
    held_FK = (codes_FK >= 0) & (codes_FK < size)
    entries_FKD = table(codes_FK.clamp(0, size - 1) + offsets_K)
    return (entries_FKD * held_FK.unsqueeze(-1)).sum(1)
