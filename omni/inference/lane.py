"""One sequence in one slot of the cache: what of it the model has read, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from omni.inference.cache import Piece
from omni.layout import SequenceBuilder
from omni.modality import AUDIO, IMAGE, TEXT
from omni.nn.config import Vocabulary
from omni.sequence import PADDING, OmniBatch


@dataclass(eq=False)
class Lane:
    """A sequence that grows in a slot."""

    builder: SequenceBuilder
    slot: int
    read: int = 0
    """Positions that the cache holds."""
    patches: int = 0
    frames: int = 0
    """Of them, how many are patches and frames."""
    hidden_D: Tensor | None = None
    """Hidden state of the newest position, once all are read."""

    @property
    def unread(self) -> int:
        """Positions that were laid down and not read."""
        return len(self.builder.modality) - self.read

    def piece(self, most: int, whole: bool = False) -> Piece:
        """The next positions to be read, at most so many.

        With ``whole`` no picture or clip is cut, as encoders need it: a piece ends before one that doesn't fit any
        more, and holds one that is longer by itself.
        """
        count = min(self.unread, most)
        if whole and count < self.unread:
            count = self._uncut(count)
        return Piece(self.slot, self.read, count)

    def _uncut(self, count: int) -> int:
        """Positions up to the last segment that ends within ``count``; up to the first one's end if none does."""
        modality = self.builder.modality
        end = self.read + count
        before = end
        while before > self.read and modality[before - 1] == modality[end] != TEXT.id:
            before -= 1
        if before > self.read:
            return before - self.read
        while end < len(modality) and modality[end] == modality[self.read]:
            end += 1
        return end - self.read


def batch_of(
    parts: Seq[tuple[Lane, int]], vocabulary: Vocabulary, device: torch.device, length: int
) -> OmniBatch:
    """The next positions of lanes as one flat row; they count as read from here on.

    Args:
        parts: lanes, and how many positions of each.
        vocabulary: of the model.
        device: of the model.
        length: positions of the row; those behind the parts are padding.
    """
    modality, text_ids, coords, loss = [], [], [], []
    patches: list[np.ndarray] = []
    codes: list[np.ndarray] = []
    for lane, count in parts:
        builder, start, stop = lane.builder, lane.read, lane.read + count
        ids = builder.modality[start:stop]
        modality += ids
        text_ids += builder.text_ids[start:stop]
        coords += builder.coords[start:stop]
        loss += builder.loss[start:stop]
        if images := ids.count(IMAGE.id):
            patches += builder.patches[lane.patches : lane.patches + images]
        if frames := ids.count(AUDIO.id):
            codes += builder.codes[lane.frames : lane.frames + frames]
        lane.read, lane.patches, lane.frames = stop, lane.patches + images, lane.frames + frames
    padding = length - len(modality)
    shape = (1, length)
    return OmniBatch(
        modality=torch.tensor(modality + [PADDING] * padding, dtype=torch.uint8).view(shape),
        text_ids=torch.tensor(text_ids + [0] * padding).view(shape),
        coords=torch.tensor(coords + [(0, 0, 0)] * padding).view(*shape, 3),
        loss=torch.tensor(loss + [False] * padding).view(shape),
        patches=torch.from_numpy(np.array(patches, dtype=np.float32).reshape(-1, vocabulary.patch_values)),
        codes=torch.from_numpy(np.array(codes, dtype=np.int64).reshape(-1, vocabulary.codebooks)),
        lengths=(length,),
        targets=torch.zeros(3, dtype=torch.int64),
    ).to(device)
