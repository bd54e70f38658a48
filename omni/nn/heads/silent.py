"""Stand-ins for heads of modalities that a model reads and doesn't generate: no weights, and no loss."""

from __future__ import annotations

from typing import Any, NoReturn

from jaxtyping import Float, Int
from torch import Tensor, nn

from omni.nn.config import Vocabulary
from omni.nn.heads.audio import AudioHead
from omni.nn.heads.image import ImageHead


class SilentImageHead(ImageHead):
    """Draws nothing."""

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def loss(
        self,
        hidden_ID: Float[Tensor, "I D"],
        place_I2: Int[Tensor, "I 2"],
        patches_IP: Float[Tensor, "I P"],
        noise_IP: Float[Tensor, "draws I P"],
        time_I: Float[Tensor, "draws I"],
    ) -> Float[Tensor, ""]:
        """Zero."""
        return hidden_ID.new_zeros(())

    def sample(self, *_: Any, **__: Any) -> NoReturn:
        """Nobody may ask."""
        raise AssertionError("a model with model.network.image.generate false was asked for a patch")


class SilentAudioHead(AudioHead):
    """Says nothing."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        nn.Module.__init__(self)
        self.codebook_size = vocabulary.codebook_size

    def loss(
        self, hidden_FD: Float[Tensor, "F D"], codes_FK: Int[Tensor, "F K"]
    ) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Zero."""
        return hidden_FD.new_zeros(()), hidden_FD.new_zeros(())

    def sample(self, *_: Any, **__: Any) -> NoReturn:
        """Nobody may ask."""
        raise AssertionError("a model with model.network.audio.generate false was asked for a frame")
