"""How large the outputs of the heads are, measured on a few positions: logits of a whole row never exist."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from omni.losses import targets_of
from omni.modality import AUDIO, IMAGE
from omni.model import OmniTransformer
from omni.sequence import OmniBatch

POSITIONS = 64
"""Of each modality, evenly spread over its targets."""


@torch.no_grad()
def head_squares(
    model: OmniTransformer, x_BSD: Float[Tensor, "B S D"], batch: OmniBatch
) -> Float[Tensor, "M 2"]:
    """Per head: mean squares of its outputs, summed over positions, and how many positions.

    Text: logits. Image: the velocity at the start of the flow, from noise that is zero. Audio: logits of the first
    code. Every head runs, on one position of no weight where it has no target, so that ranks do alike.
    """
    targets = targets_of(batch, model.audio_head.end)
    text_nD, texts, _ = _some(x_BSD, targets.text_BS)
    image_nD, images, spread = _some(x_BSD, targets.image_BS)
    audio_nD, sounds, _ = _some(x_BSD, targets.audio_BS)
    places = targets.places[::spread] if images else targets.places.new_zeros(1, 2)
    noise = image_nD.new_zeros(len(image_nD), model.vocabulary.patch_values)
    nothing = (x_BSD.new_zeros(1, 1), 0)  # of a head that isn't there
    heard: list[Tensor] = []

    def keep(logits_FQ: Tensor, codebook: int) -> Tensor:
        if codebook == 0:
            heard.append(logits_FQ)
        return logits_FQ.argmax(-1)

    if AUDIO in model.config.generated:
        model.audio_head.sample(audio_nD, keep)
    draws = IMAGE in model.config.generated
    outputs = (
        (model.text_head(text_nD), texts),
        (model.image_head.sample(image_nD, places, noise, steps=1), images) if draws else nothing,
        (heard[0], sounds) if heard else nothing,
    )
    return torch.stack([_squares(output, count) for output, count in outputs])


def _some(x_BSD: Tensor, mask_BS: Bool[Tensor, "B S"]) -> tuple[Float[Tensor, "n D"], int, int]:
    """Hidden states of a few marked positions (any one where none is), how many, and every how-many-th it is."""
    place_n = mask_BS.flatten().nonzero().squeeze(1)
    spread = max(1, -(-len(place_n) // POSITIONS))
    place_n = place_n[::spread]
    count = len(place_n)
    return x_BSD.flatten(0, 1).index_select(0, place_n if count else place_n.new_zeros(1)), count, spread


def _squares(output_nV: Tensor, count: int) -> Float[Tensor, " both"]:
    squares = output_nV[:count].float().square().mean(-1).sum()
    return torch.stack([squares, squares.new_tensor(float(count))])
