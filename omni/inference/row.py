"""One answer while it grows: which head speaks next, and what its choice lays down."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import replace
from enum import Enum, auto

import numpy as np
import torch

from omni.inference.options import SamplingOptions
from omni.inference.request import Reason, Request, TokenLogprob
from omni.inference.text_run import TextRun
from omni.layout import Layout, SequenceBuilder
from omni.modality import AUDIO, IMAGE, TEXT, ModalityName, modality_named
from omni.sequence import Document, Role, Segment, Sequence, Text

LONGEST = 1 << 40
"""Frames of a clip whose end isn't known yet."""


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
        self.layout, self.options, self.role = layout, options, role
        self._check()
        self.want = modality_named(want, "want") if want is not None else None
        self.builder = self._opened(prompt, role)
        self.twin = self._opened([], role) if guided else None
        self.prompt_length = len(self.builder.modality)
        self.generator = torch.Generator().manual_seed(options.seed)
        self.phase = Phase.TEXT
        self.grid = (0, 0)
        self.patches = self.frames = self.text_count = 0
        """Of the picture or clip that is being made: patches, and positions of audio; of the answer: tokens."""
        self.clip_frames: int | None = None
        """Frames of that clip, once they are known: some layouts have positions behind its last frame's first code."""
        self.forced: int | None = None
        self.reason: Reason = "end"
        self.logprobs: list[TokenLogprob] = []
        self.run = TextRun(layout.text, options.stop)
        """The text that is being written, or was written last."""
        self.clip = self.prompt_length
        """Position of the marker that opened the last picture or clip."""
        self.seen_V: torch.Tensor | None = None
        """Which tokens prompt and answer hold; kept where the repetition penalty needs it."""
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
        # an encoder reads what the user gives; what the assistant said before enters as when it was generated
        asked = tuple(replace(s, loss=s.role not in ("user", "system")) for s in prompt)
        builder = self.layout.encode_open(Document(asked, key="prompt"))
        self.layout.open_turn(builder, role, prompt[-1])
        return builder

    @classmethod
    def of(cls, layout: Layout, request: Request) -> Row:
        """The row of a request.

        Raises:
            ValueError: a segment can't be encoded, there is nothing to continue, or a setting does not fit the
                tokenizers.
        """
        options, chat = request.options, request.chat
        prompt = [replace(s, role="user") if chat and s.role is None else s for s in request.prompt]
        strengths = {IMAGE.name: options.image_guidance, AUDIO.name: options.audio_guidance, TEXT.name: 1.0}
        guided = any(strength != 1 for name, strength in strengths.items() if request.want in (None, name))
        role: Role | None = "assistant" if chat else None
        return cls(layout, prompt, role, request.want, options, guided and (chat or bool(prompt)))

    def _check(self) -> None:
        grid, config = self.options.grid, self.layout.tokenizers.image.config
        if grid is not None and not self.fits(*grid):
            raise ValueError(
                f"grid {grid[0]} x {grid[1]}: this model draws at most {config.max_patches} patches, and "
                f"{config.max_grid} in a row or column"
            )
        size = self.layout.text.vocab_size
        if unknown := [token for token in self.options.logit_bias if not 0 <= token < size]:
            raise ValueError(f"logit_bias: tokens {unknown} are not in the vocabulary of {size}")

    @property
    def builders(self) -> list[SequenceBuilder]:
        """The row's builder, and its twin's."""
        return [self.builder] if self.twin is None else [self.builder, self.twin]

    def fits(self, rows: int, cols: int) -> bool:
        """Whether the image tokenizer has a grid of this many patches."""
        config = self.layout.tokenizers.image.config
        return rows * cols <= config.max_patches and max(rows, cols) <= config.max_grid

    def force(self) -> None:
        """Lay down what follows from the layout."""
        assert self.forced is not None, self.phase
        token, self.forced = self.forced, None
        self._lay_text(token)

    def take_token(self, token: int) -> None:
        """Lay down the text head's choice."""
        writes = self.phase is Phase.TEXT and token not in self.layout.text.control_ids
        self._lay_text(token)
        if writes:
            self.run.push(token)
            if self.run.stopped:
                self._finish("stop")

    def _lay_text(self, token: int) -> None:
        layout = self.layout
        for builder in self.builders:
            builder.text(token, loss=True)
        self.text_count += 1
        if self.seen_V is not None:
            self.seen_V[token] = token not in layout.text.control_ids
        if token in layout.opening.values():
            self.clip = len(self.builder.modality) - 1
        if self.phase is Phase.GRID_ROWS:
            self.grid, self.phase = (layout.text.sizes[token], 0), Phase.GRID_COLS
        elif self.phase is Phase.GRID_COLS:
            self.grid, self.phase, self.patches = (self.grid[0], layout.text.sizes[token]), Phase.PATCH, 0
        elif token == layout.opening[IMAGE.id]:
            self.phase = Phase.GRID_ROWS
        elif token == layout.opening[AUDIO.id]:
            self.phase, self.frames, self.clip_frames = Phase.FRAME, 0, None
        elif (token in layout.closing.values() and self.want is not None) or token == layout.text.end:
            self._finish(self.reason)
        elif self.text_count >= self.options.max_text:
            self._finish("length")
        else:
            if token in layout.closing.values():
                self.run = TextRun(layout.text, self.options.stop)
            self.phase = Phase.TEXT

    def _finish(self, reason: Reason) -> None:
        self.phase, self.reason = Phase.DONE, reason

    def seen(self) -> torch.Tensor:
        """Mask (V,) of the text tokens in prompt and answer, without control symbols."""
        if self.seen_V is None:
            text = self.layout.text
            self.seen_V = torch.zeros(text.vocab_size, dtype=torch.bool)
            ids = torch.tensor(self.builder.text_ids)
            self.seen_V[ids[torch.tensor(self.builder.modality) == TEXT.id]] = True
            self.seen_V[sorted(text.control_ids)] = False
        return self.seen_V

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
        """Lay down the audio head's codes as the layout has them, or end the clip where code 0 is ``end``."""
        audio = self.layout.audio
        if self.clip_frames is None and audio.begins(self.frames) and codes_K[0] == end:
            self.clip_frames = audio.begun(self.frames)
        if self._clip_is_whole:
            self._force(self.layout.closing[AUDIO.id])
            self.force()
            return
        frame_1K = audio.frames_at(self.frames, self.frames + 1)
        known = LONGEST if self.clip_frames is None else self.clip_frames
        laid_K = audio.masked(codes_K[None], frame_1K, known, end)[0]
        for builder in self.builders:
            builder.frame(laid_K, loss=True)
        self.frames += 1
        if self.clip_frames is None and audio.begun(self.frames) >= self.max_frames:
            self.clip_frames = self.max_frames
            self.reason = "length" if self.want is not None else self.reason
        if self._clip_is_whole:
            self._force(self.layout.closing[AUDIO.id])

    @property
    def _clip_is_whole(self) -> bool:
        return self.clip_frames is not None and self.frames >= self.layout.audio.rows(self.clip_frames)

    def _force(self, token: int) -> None:
        self.forced, self.phase = token, Phase.FORCED

    def cut(self, reason: Reason) -> None:
        """End the answer here: a clip is closed, an unfinished picture taken back."""
        if self.phase is Phase.FRAME and self.layout.audio.whole(self.frames):
            self._force(self.layout.closing[AUDIO.id])
        if self.phase is Phase.FORCED and len(self.builder.modality) > self.prompt_length:
            self.force()
        if self.phase in (Phase.GRID_ROWS, Phase.GRID_COLS, Phase.PATCH, Phase.FRAME):
            for kept in (
                self.builder.modality,
                self.builder.text_ids,
                self.builder.coords,
                self.builder.loss,
            ):
                del kept[self.clip :]
            if self.phase is Phase.PATCH:
                del self.builder.patches[len(self.builder.patches) - self.patches :]
            if self.phase is Phase.FRAME:
                del self.builder.codes[len(self.builder.codes) - self.frames :]
        self._finish(reason)

    def answer(self) -> list[Segment]:
        """The segments laid down since the prompt."""
        segments = self._decoded()
        if self.run.stopped and isinstance(segments[-1], Text):
            segments[-1] = replace(segments[-1], text=self.run.text)
        return [replace(segment, role=self.role) for segment in segments]

    def _decoded(self) -> list[Segment]:
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
