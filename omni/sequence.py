"""Documents, sequences and batches: the types that everything else passes around.

Legend of shape letters, used as suffixes (``x_BSD``) and in annotations throughout the project:

    B  rows of a batch                    V  text vocabulary
    S  positions of a row                 K  codebooks of the audio codec
    N  positions in all, B * S            Q  codes of one codebook
    L  positions of one document          F  audio frames
    D  width of the residual stream       I  image patches
    A  query heads                        P  values of one patch, channels * size * size
    G  key/value heads                    W  samples of a waveform
    C  channels of one head               M  modalities
    E  experts                            H  hidden width of a feed-forward network
    T  experts chosen per position        R  rows of positions routed to experts, N * T
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from omni.media import content_of, read_audio, read_image
from omni.modality import AUDIO, IMAGE, TEXT, Modality

Role = Literal["system", "user", "assistant"]
PADDING = 255
"""Modality id of positions that hold nothing."""
ROLES: tuple[Role, ...] = ("system", "user", "assistant")


@dataclass(frozen=True, kw_only=True)
class _Turn:
    """What every segment carries besides its content."""

    role: Role | None = None
    """Speaker of the turn; ``None`` for running text that belongs to nobody."""
    loss: bool = True
    """Whether the model is trained to produce this segment."""


@dataclass(frozen=True)
class Text(_Turn):
    """A piece of text."""

    text: str = ""
    modality = TEXT


@dataclass(frozen=True, eq=False)
class Image(_Turn):
    """A picture: ``pixels`` is uint8, height x width x 3 (RGB)."""

    pixels: UInt8[np.ndarray, "height width 3"]
    file: bytes | None = field(default=None, repr=False, kw_only=True)
    """Content of the file that they were decoded from, where there was one; shards keep it where they can."""
    modality = IMAGE

    @classmethod
    def open(cls, file: bytes | Path | str, *, role: Role | None = None, loss: bool = True) -> Image:
        """Decode a picture file (path or content); a ``MediaError`` (a ``ValueError``) says what is wrong with it."""
        return cls(read_image(file), file=content_of(file), role=role, loss=loss)


@dataclass(frozen=True, eq=False)
class Audio(_Turn):
    """A mono clip, float32 in [-1, 1], with its codec codes where they are already known."""

    waveform: Float[np.ndarray, " W"]
    sample_rate: int
    codes: Int[np.ndarray, "F K"] | None = None
    file: bytes | None = field(default=None, repr=False, kw_only=True)
    """Content of the file that the waveform was decoded from, where there was one; shards keep it where they can."""
    modality = AUDIO

    @classmethod
    def open(cls, file: bytes | Path | str) -> Audio:
        """Decode a sound file (path or content); a ``MediaError`` (a ``ValueError``) says what is wrong with it."""
        return cls(*read_audio(file), file=content_of(file))

    @property
    def seconds(self) -> float:
        """Duration of the clip."""
        return len(self.waveform) / self.sample_rate


Segment = Text | Image | Audio


def _says(segment: Segment) -> bool:
    return not isinstance(segment, Text) or bool(segment.text)


@dataclass(frozen=True)
class Document:
    """Segments in their natural order, and where they came from."""

    segments: tuple[Segment, ...]
    key: str = "document"
    """Name of the document inside its shard."""
    source: str = "unknown"
    """Data set or task it belongs to; metrics are split by it."""
    label: str | None = None
    """What a judge should read, see or hear in the last segment, where that is known."""
    shard: str = ""
    """Path of the shard it was read from."""

    def __post_init__(self) -> None:
        if not self.segments:
            raise ValueError(f"{self.where}: a document needs at least one segment, got none")

    @property
    def where(self) -> str:
        """Shard and key, for messages."""
        return f"{self.shard or 'document'}[{self.key}]"

    def merged(self) -> Document:
        """The same content in the form that decoding gives back.

        Neighbouring texts of one turn are joined. Empty texts are left out, but for the last one of a
        turn that holds nothing else.
        """
        heard = [s for s in self.segments if s.role is not None or _says(s)] or self.segments[-1:]
        parts: list[Segment] = []
        for _, turn in groupby(heard, key=lambda segment: segment.role):
            segments = list(turn)
            parts += [segment for segment in segments if _says(segment)] or segments[-1:]
        merged: list[Segment] = []
        for segment in parts:
            last = merged[-1] if merged else None
            if (
                isinstance(segment, Text)
                and isinstance(last, Text)
                and (last.role, last.loss) == (segment.role, segment.loss)
            ):
                merged[-1] = replace(last, text=last.text + segment.text)
            else:
                merged.append(segment)
        return replace(self, segments=tuple(merged))


@dataclass(frozen=True, eq=False)
class Sequence:
    """A document as positions. Position ``t`` is predicted from the positions before it."""

    modality: UInt8[np.ndarray, " L"]
    """Modality id of each position."""
    text_ids: Int[np.ndarray, " L"]
    """Text token at text positions, 0 elsewhere."""
    coords: Int[np.ndarray, "L 3"]
    """Rotary position on the axes time, row, column."""
    loss: Bool[np.ndarray, " L"]
    """Whether the content of the position is a training target. On ``<|/audio|>``: whether the end is."""
    patches: Float[np.ndarray, "I P"]
    """Normalised patches of the image positions, in order."""
    codes: Int[np.ndarray, "F K"]
    """Codec codes of the audio positions, in order."""
    key: str = "document"

    def __len__(self) -> int:
        return len(self.modality)

    def target_counts(self) -> Int[np.ndarray, " M"]:
        """Number of training targets of each modality; the end of a clip counts as audio."""
        target = np.where(self.loss, self.modality, 255)
        target[1:][(self.modality[:-1] == AUDIO.id) & (self.modality[1:] == TEXT.id) & self.loss[1:]] = (
            AUDIO.id
        )
        target[:1] = 255  # nothing comes before the first position to predict it
        return np.array([(target == m).sum() for m in (TEXT.id, IMAGE.id, AUDIO.id)], dtype=np.int64)


@dataclass(frozen=True, eq=False)
class OmniBatch:
    """Packed rows as the model takes them: dense ids, and ragged patches and codes."""

    modality: UInt8[Tensor, "B S"]
    """Modality id, ``PADDING`` behind the last document of a row."""
    text_ids: Int[Tensor, "B S"]
    coords: Int[Tensor, "B S 3"]
    loss: Bool[Tensor, "B S"]
    """False on padding."""
    patches: Float[Tensor, "I P"]
    codes: Int[Tensor, "F K"]
    lengths: tuple[int, ...]
    """Lengths of the documents over the flattened rows; padding of a row is one document. Sums to B * S."""
    targets: Int[Tensor, " M"]
    """Training targets of each modality in the whole optimizer step: all ranks, all accumulated batches."""
    step_positions: int = 1
    """Real (not padding) positions in the whole optimizer step."""
    keys: tuple[str, ...] = field(default=())
    """Documents of the batch, for messages."""
    row_numbers: tuple[int, ...] = field(default=())
    """Number of each row in the whole run, whichever rank and batch it is in; none outside of training."""

    @property
    def real(self) -> Bool[Tensor, "B S"]:
        """Mask of the positions that are not padding."""
        return self.modality != PADDING

    def to(self, device: torch.device | str, non_blocking: bool = False) -> OmniBatch:
        """The batch with its tensors on ``device``."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=non_blocking)
            for name in ("modality", "text_ids", "coords", "loss", "patches", "codes", "targets")
        }
        return replace(self, **moved)

    def of(self, modality: Modality) -> Bool[Tensor, "B S"]:
        """Mask of the positions that hold ``modality``."""
        return self.modality == modality.id

    def part(self, positions: slice) -> OmniBatch:
        """These positions of every row, with what of patches, codes and documents lies in them."""
        inside_BS = torch.zeros_like(self.modality, dtype=torch.bool)
        inside_BS[:, positions] = True
        document_BS = np.arange(len(self.lengths)).repeat(self.lengths).reshape(inside_BS.shape)
        documents, lengths = np.unique(document_BS[:, positions], return_counts=True)
        return replace(
            self,
            modality=self.modality[:, positions],
            text_ids=self.text_ids[:, positions],
            coords=self.coords[:, positions],
            loss=self.loss[:, positions],
            patches=self.patches[inside_BS[self.of(IMAGE)]],
            codes=self.codes[inside_BS[self.of(AUDIO)]],
            lengths=tuple(lengths.tolist()),
            keys=tuple(self.keys[document] for document in documents) if self.keys else (),
        )


def turn_of(segments: Seq[Segment], role: Role | None, loss: bool) -> tuple[Segment, ...]:
    """``segments`` as one turn: all with this role and loss flag."""
    return tuple(replace(s, role=role, loss=loss) for s in segments)


def grid_places(coords: Int[Tensor, "*any 3"]) -> Int[Tensor, "*any 2"]:
    """Row and column in its picture's grid of each patch, from its rotary coordinates (time, row, column)."""
    return coords[..., 1:] - coords[..., :1]
