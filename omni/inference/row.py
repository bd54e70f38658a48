"""One answer while it grows: which head speaks next, and what its choice lays down."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from enum import Enum, auto

import numpy as np
import torch

from omni.inference.options import SamplingOptions
from omni.layout import Layout, SequenceBuilder
from omni.modality import AUDIO, IMAGE, TEXT, ModalityName, modality_named
from omni.sequence import Document, Role, Segment, Sequence, Text


class Phase(Enum):
    """What the next position of a row is."""

    TEXT = auto()
    """Drawn from the text head: a token, a marker that opens a clip, or the end."""
    GRID_ROWS = auto()
    GRID_COLS = auto()
    """Size symbols from the text head."""
    PATCH = auto()
    """Drawn from the image head."""
    FRAME = auto()
    """Drawn from the audio head."""
    FORCED = auto()
    """Follows from the layout; nothing is drawn."""
    DONE = auto()


class Row:
    """State of one request. ``twin`` is the same answer without its prompt, for guidance."""

    def __init__(
        self,
        layout: Layout,
        prompt: Seq[Segment],
        role: Role | None,
        want: ModalityName | None,
        options: SamplingOptions,
        guided: bool,
    ) -> None:
        if not prompt and role is None:
            raise ValueError("an empty prompt can't be continued: give a segment, or a role to answer in")
        self.layout, self.options = layout, options
        self.want = modality_named(want, "want") if want is not None else None
        self.builder = self._opened(prompt, role)
        self.twin = self._opened([], role) if guided else None
        self.prompt_length = len(self.builder.modality)
        self.generator = torch.Generator().manual_seed(options.seed)
        self.phase = Phase.TEXT
        self.grid = (0, 0)
        self.patches = self.frames = self.text_count = 0
        self.forced: int | None = None
        codec = layout.tokenizers.audio
        self.max_frames = max(1, int(options.max_audio_seconds * codec.frame_rate))
        if self.want is not None and self.want.opening:
            self._force(layout.opening[self.want.id])

    def _opened(self, prompt: Seq[Segment], role: Role | None) -> SequenceBuilder:
        if not prompt:
            builder = SequenceBuilder()
            builder.text(self.layout.text.begin, loss=False)
            self.layout.open_turn(builder, role, None)
            return builder
        builder = self.layout.encode_open(Document(tuple(prompt), key="prompt"))
        self.layout.open_turn(builder, role, prompt[-1])
        return builder

    @property
    def builders(self) -> list[SequenceBuilder]:
        """The row's builder, and its twin's."""
        return [self.builder] if self.twin is None else [self.builder, self.twin]

    def allowed_text(self, vocab_size: int) -> torch.Tensor:
        """Mask (V,) of the tokens that the text head may choose now."""
        text = self.layout.text
        allowed = torch.zeros(vocab_size, dtype=torch.bool)
        if self.phase is Phase.GRID_ROWS:
            allowed[[token for token, size in text.sizes.items() if self._fits(size, 1)]] = True
        elif self.phase is Phase.GRID_COLS:
            allowed[[token for token, size in text.sizes.items() if self._fits(self.grid[0], size)]] = True
        else:
            allowed[:] = True
            allowed[list(text.control_ids)] = False
            if self.text_count or self.want is None:
                allowed[text.end] = True
            if self.want is None:
                allowed[list(self.layout.opening.values())] = True
        return allowed

    def _fits(self, rows: int, cols: int) -> bool:
        config = self.layout.tokenizers.image.config
        return rows * cols <= config.max_patches and max(rows, cols) <= config.max_grid

    def force(self) -> None:
        """Lay down what follows from the layout."""
        assert self.forced is not None, self.phase
        token, self.forced = self.forced, None
        self._lay_text(token)

    def take_token(self, token: int) -> None:
        """Lay down the text head's choice."""
        self._lay_text(token)

    def _lay_text(self, token: int) -> None:
        layout = self.layout
        for builder in self.builders:
            builder.text(token, loss=True)
        self.text_count += 1
        if self.phase is Phase.GRID_ROWS:
            self.grid, self.phase = (layout.text.sizes[token], 0), Phase.GRID_COLS
        elif self.phase is Phase.GRID_COLS:
            self.grid, self.phase, self.patches = (self.grid[0], layout.text.sizes[token]), Phase.PATCH, 0
        elif token == layout.opening[IMAGE.id]:
            self.phase = Phase.GRID_ROWS
        elif token == layout.opening[AUDIO.id]:
            self.phase, self.frames = Phase.FRAME, 0
        elif (
            (token in layout.closing.values() and self.want is not None)
            or token == layout.text.end
            or self.text_count >= self.options.max_text
        ):
            self.phase = Phase.DONE
        else:
            self.phase = Phase.TEXT

    @property
    def place(self) -> tuple[int, int]:
        """Row and column of the next patch."""
        return self.patches // self.grid[1], self.patches % self.grid[1]

    def take_patch(self, patch_P: np.ndarray) -> None:
        """Lay down the image head's patch."""
        for builder in self.builders:
            builder.patch(patch_P, self.patches, *self.grid, loss=True)
        self.patches += 1
        if self.patches == self.grid[0] * self.grid[1]:
            self._force(self.layout.closing[IMAGE.id])

    def take_frame(self, codes_K: np.ndarray, end: int) -> None:
        """Lay down the audio head's frame, or end the clip where code 0 is ``end``."""
        if codes_K[0] == end:
            self._force(self.layout.closing[AUDIO.id])
            self.force()
            return
        for builder in self.builders:
            builder.frame(codes_K, loss=True)
        self.frames += 1
        if self.frames >= self.max_frames:
            self._force(self.layout.closing[AUDIO.id])

    def _force(self, token: int) -> None:
        self.forced, self.phase = token, Phase.FORCED

    def answer(self) -> list[Segment]:
        """The segments laid down since the prompt."""
        builder, start = self.builder, self.prompt_length
        modality = np.array(builder.modality[start:], dtype=np.uint8)
        if not len(modality):
            return []
        patches, frames = int((modality == IMAGE.id).sum()), int((modality == AUDIO.id).sum())
        tokenizers = self.layout.tokenizers
        sequence = Sequence(
            modality=modality,
            text_ids=np.array(builder.text_ids[start:], dtype=np.int64),
            coords=np.array(builder.coords[start:], dtype=np.int64),
            loss=np.array(builder.loss[start:], dtype=bool),
            patches=_last(builder.patches, patches, tokenizers.image.patch_values, np.float32),
            codes=_last(builder.codes, frames, tokenizers.audio.codebooks, np.int64),
            key="answer",
        )
        if (modality == TEXT.id).all() and set(sequence.text_ids.tolist()) <= self.layout.text.control_ids:
            return [Text("")]
        return list(self.layout.decode(sequence).segments)


def _last(items: list[np.ndarray], count: int, width: int, dtype: type) -> np.ndarray:
    return np.array(items[len(items) - count :], dtype=dtype).reshape(count, width)
