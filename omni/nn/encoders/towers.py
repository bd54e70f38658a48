"""The towers: a vision transformer for pictures, a Conformer for clips. Each sees one segment, in both directions.

Their blocks are torchvision's (``EncoderBlock``, pre-norm, as in ViT, arXiv 2010.11929) and torchaudio's
(``ConformerLayer``, arXiv 2005.08100, with group norm, which needs no other clip).
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from omni.nn.config import Vocabulary
from omni.nn.embed import sum_of_codes
from omni.nn.encoders.config import AudioEncoderConfig, ImageEncoderConfig
from omni.nn.encoders.segments import one_by_one
from omni.sequence import grid_places


class ImageTower(nn.Module):
    """A vision transformer over patch grids of any shape.

    Learnt vectors for row and column say where a patch lies (factorised, as in NaViT, arXiv 2307.06304);
    torchvision's own ``VisionTransformer`` has one table for one square size.
    """

    def __init__(self, config: ImageEncoderConfig, vocabulary: Vocabulary) -> None:
        # here, since most models have no tower and the package takes a second to import
        from torchvision.models.vision_transformer import EncoderBlock

        super().__init__()
        width = config.width
        self.patch = nn.Linear(vocabulary.patch_values, width)
        self.row = nn.Embedding(vocabulary.max_grid, width)
        self.col = nn.Embedding(vocabulary.max_grid, width)
        self.blocks = nn.Sequential(
            *(EncoderBlock(config.heads, width, config.hidden, 0.0, 0.0) for _ in range(config.layers))
        )
        self.norm = nn.LayerNorm(width)

    def forward(
        self, patches_IP: Float[Tensor, "I P"], coords_I3: Int[Tensor, "I 3"], lengths: list[int]
    ) -> Float[Tensor, "I H"]:
        """Patches of pictures one behind another, ``lengths`` of each."""
        places_I2 = grid_places(coords_I3)
        x_IH = self.patch(patches_IP.to(self.patch.weight.dtype))
        x_IH = x_IH + self.row(places_I2[:, 0]) + self.col(places_I2[:, 1])
        return self.norm(one_by_one(x_IH, lengths, self.blocks))


class AudioTower(nn.Module):
    """A Conformer over the frames of a clip.

    A frame enters as the sum of its codes' table entries: any linear function of what a residual codec says of
    it, such as a filter bank over its log spectrum.
    """

    code_offsets_K: Tensor

    def __init__(self, config: AudioEncoderConfig, vocabulary: Vocabulary) -> None:
        from torchaudio.models import Conformer  # here as above

        super().__init__()
        self.codes = nn.Embedding(vocabulary.codebooks * vocabulary.codebook_size, config.width)
        self.conformer = Conformer(
            config.width, config.heads, config.hidden, config.layers, config.kernel, use_group_norm=True
        )
        self.norm = nn.LayerNorm(config.width)
        offsets = torch.arange(vocabulary.codebooks) * vocabulary.codebook_size
        self.register_buffer("code_offsets_K", offsets, persistent=False)

    def forward(
        self, codes_FK: Int[Tensor, "F K"], coords_F3: Int[Tensor, "F 3"], lengths: list[int]
    ) -> Float[Tensor, "F H"]:
        """Codes of clips one behind another, ``lengths`` frames of each. The convolution tells where a frame lies."""
        x_FH = sum_of_codes(self.codes, codes_FK, self.code_offsets_K)
        return self.norm(one_by_one(x_FH, lengths, self._run))

    def _run(self, x_BLH: Float[Tensor, "B L H"]) -> Float[Tensor, "B L H"]:
        x_LBH = x_BLH.transpose(0, 1)
        for layer in self.conformer.conformer_layers:
            x_LBH = layer(
                x_LBH, None
            )  # all of one length: no padding to hide, which would cost the fast kernel
        return x_LBH.transpose(0, 1)
