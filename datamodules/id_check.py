"""Ids of a batch against the tables that the model looks them up in, before it does.

On a GPU such an id stops the run with an assertion that names nothing.
"""

from __future__ import annotations

from jaxtyping import Bool
from torch import Tensor

from omni.code_layout import NOTHING
from omni.modality import AUDIO, IMAGE, TEXT
from omni.sequence import OmniBatch, grid_places
from omni.tokenizers.bundle import Tokenizers


def check_ids(batch: OmniBatch, tokenizers: Tokenizers, gaps: bool = False) -> None:
    """Check text ids, codes and places of patches. Cheap while the batch is on the CPU.

    With ``gaps`` codes may be absent, or be the end of a clip (``omni.code_layout``).

    Raises:
        ValueError: one is out of range; the message names the document, the position and the range.
    """
    text_BS, image_BS, audio_BS = (batch.of(modality) for modality in (TEXT, IMAGE, AUDIO))
    _check(batch, text_BS, batch.text_ids[text_BS], tokenizers.text.vocab_size, "text id")
    size = tokenizers.audio.codebook_size
    absent = (batch.codes == NOTHING) | (batch.codes == size)
    _check(batch, audio_BS, batch.codes.masked_fill(absent, 0) if gaps else batch.codes, size, "audio code")
    places_I2 = grid_places(batch.coords[image_BS])
    _check(batch, image_BS, places_I2, tokenizers.image.config.max_grid, "row or column")


def _check(batch: OmniBatch, marked_BS: Bool[Tensor, "B S"], values: Tensor, limit: int, name: str) -> None:
    """``values`` holds one value, or one row of them, for each marked position."""
    wrong = (values < 0) | (values >= limit)
    if not wrong.any():
        return
    first = int(wrong.nonzero()[0, 0])
    value = int(values[first][wrong[first]].flatten()[0])
    at = int(marked_BS.flatten().nonzero()[first])
    document = 0
    while at >= batch.lengths[document]:
        at -= batch.lengths[document]
        document += 1
    raise ValueError(
        f"document {batch.keys[document]!r}: {name} {value} at position {at} is not in 0..{limit - 1}, the range of "
        f"data.tokenizers: was it encoded with others?"
    )
