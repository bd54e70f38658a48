"""Late fusion: pictures and clips that are read pass an encoder and a projector on their way into the decoder.

What is learnt to be generated enters position by position as in the unified model (``omni.nn.embed``), and the
heads are the same. So the two systems differ in how they read, and in nothing else.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn

from omni.modality import AUDIO, IMAGE
from omni.nn.config import ModelConfig, Vocabulary
from omni.nn.encoders.segments import read_positions, run_lengths
from omni.nn.encoders.towers import AudioTower, ImageTower
from omni.sequence import OmniBatch


class Projector(nn.Module):
    """Two layers from the tower's width to the decoder's (LLaVA-1.5, arXiv 2310.03744)."""

    def __init__(self, tower: int, width: int) -> None:
        super().__init__()
        self.up = nn.Linear(tower, width)
        self.down = nn.Linear(width, width)

    def forward(self, x_NH: Float[Tensor, "N H"]) -> Float[Tensor, "N D"]:
        """Project."""
        return self.down(nn.functional.gelu(self.up(x_NH)))


class Encoder(nn.Module):
    """A tower with its projector."""

    def __init__(self, tower: ImageTower | AudioTower, tower_width: int, width: int) -> None:
        super().__init__()
        self.tower = tower
        self.projector = Projector(tower_width, width)

    def forward(
        self, content: Shaped[Tensor, "N values"], coords_N3: Int[Tensor, "N 3"], lengths: list[int]
    ) -> Float[Tensor, "N D"]:
        """Vectors for the decoder of segments that lie one behind another, ``lengths`` positions each."""
        return self.projector(self.tower(content, coords_N3, lengths))


class Encoders(nn.ModuleDict):
    """The encoders that a config asks for, by the name of their modality."""

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        image, audio = config.encoders.image, config.encoders.audio
        if image.layers:
            self[IMAGE.name] = Encoder(ImageTower(image, vocabulary), image.width, config.width)
        if audio.layers:
            self[AUDIO.name] = Encoder(AudioTower(audio, vocabulary), audio.width, config.width)
        for name in config.encoders.frozen:
            self.towers[name].requires_grad_(False)

    @property
    def towers(self) -> dict[str, nn.Module]:
        """The towers without their projectors, by modality."""
        return {name: one.tower for name, one in self.items() if isinstance(one, Encoder)}

    def forward(self, x_BSD: Float[Tensor, "B S D"], batch: OmniBatch) -> Float[Tensor, "B S D"]:
        """The stream with what the encoders make of the segments that are read in their places."""
        contents = {IMAGE: batch.patches, AUDIO: batch.codes}
        for modality, content in contents.items():
            if modality.name in self:
                read_BS = read_positions(batch, modality)
                read = content[read_BS[batch.of(modality)]]
                inputs = _inputs(read, batch.coords[read_BS], run_lengths(read_BS))
                if inputs is not None:
                    made_ND = self[modality.name](*inputs)
                    x_BSD = x_BSD.masked_scatter(read_BS.unsqueeze(-1), made_ND.to(x_BSD.dtype))
        return x_BSD


Inputs = tuple[Shaped[Tensor, "N values"], Int[Tensor, "N 3"], list[int]]
"""Content and coordinates of positions, and the lengths of their segments."""


def _inputs(content: Tensor, coords_N3: Tensor, lengths: list[int]) -> Inputs | None:
    """What an encoder is given; ``None`` for nothing at all.

    Where nothing is read and gradients are wanted, one position of zeros stands in, which no place in the stream
    takes: every rank must have a gradient for every weight.
    """
    if lengths:
        return content, coords_N3, lengths
    if torch.is_grad_enabled():
        return content.new_zeros(1, content.shape[1]), coords_N3.new_zeros(1, 3), [1]
    return None
