"""How the K codes of a clip's frames lie on positions: as whole frames, delayed, or one code a position.

Three frames of two codes, a column for each position (``.`` is nothing, ``E`` says that the clip is over)::

    frame   a0 a1 a2        delay   a0 a1 a2 E         flat   a0 .  a1 .  a2 .
            b0 b1 b2                .  b0 b1 b2               .  b0 .  b1 .  b2

``frame`` is the project's own: a depth head says the codes of a frame one after another. With ``delay`` (MusicGen,
arXiv 2306.05284) the codes of a position are said at once, each knowing the earlier codebooks of its frame from
positions before; ``flat`` says one code a position. They are here to be compared.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Int

LayoutName = Literal["frame", "delay", "flat"]
NAMES: tuple[LayoutName, ...] = get_args(LayoutName)
NOTHING = -1
"""In the place of a code that isn't there."""


class CodeLayout(ABC):
    """A pattern of frames and codebooks over positions; ``end`` below is Q, the code that ends a clip."""

    name: ClassVar[LayoutName]

    def __init__(self, codebooks: int) -> None:
        self.codebooks = codebooks

    @property
    def pace(self) -> int:
        """Positions from one frame's first code to the next one's."""
        return 1

    @abstractmethod
    def rows(self, frames: int) -> int:
        """Positions of a clip of ``frames``."""

    @abstractmethod
    def whole(self, rows: int) -> int:
        """Frames that are complete within so many positions."""

    @abstractmethod
    def frames_at(self, start: int, stop: int) -> Int[np.ndarray, "R K"]:
        """Frame whose code stands at each position from ``start`` to ``stop``, by codebook; negative for none."""

    def begun(self, rows: int) -> int:
        """Frames whose first code stands within so many positions."""
        return -(-rows // self.pace)

    def begins(self, row: int) -> bool:
        """Whether a frame's first code stands at a position, so that the clip may end there instead."""
        return row % self.pace == 0

    def lay(self, codes_FK: Int[np.ndarray, "F K"], end: int) -> Int[np.ndarray, "R K"]:
        """The positions of a clip."""
        frames = len(codes_FK)
        frame_RK = self.frames_at(0, self.rows(frames))
        codes_RK = np.take_along_axis(codes_FK, frame_RK.clip(0, frames - 1), axis=0)
        return self.masked(codes_RK, frame_RK, frames, end)

    @staticmethod
    def masked(
        codes_RK: Int[np.ndarray, "R K"], frame_RK: Int[np.ndarray, "R K"], frames: int, end: int
    ) -> Int[np.ndarray, "R K"]:
        """Codes of positions, without those that a clip of ``frames`` doesn't have there, and with its end."""
        inside = (frame_RK >= 0) & (frame_RK < frames)
        laid_RK = np.where(inside, codes_RK, NOTHING)
        laid_RK[frame_RK[:, 0] == frames, 0] = end
        return laid_RK

    def read(self, rows_RK: Int[np.ndarray, "R K"], end: int) -> Int[np.ndarray, "F K"]:
        """The whole frames of positions that ``lay`` gave, or of their beginning; up to a code that is missing."""
        frame_RK = self.frames_at(0, len(rows_RK))
        held = (rows_RK >= 0) & (rows_RK < end) & (frame_RK >= 0)
        found_FK = np.full((int(frame_RK.max(initial=-1)) + 1, self.codebooks), NOTHING, np.int64)
        row, codebook = held.nonzero()
        found_FK[frame_RK[row, codebook], codebook] = rows_RK[row, codebook]
        broken = (found_FK == NOTHING).any(1)
        return found_FK[: int(broken.argmax()) if broken.any() else len(found_FK)]


class FrameLayout(CodeLayout):
    """One position a frame."""

    name = "frame"

    def rows(self, frames: int) -> int:
        """As many."""
        return frames

    def whole(self, rows: int) -> int:
        """As many."""
        return rows

    def frames_at(self, start: int, stop: int) -> Int[np.ndarray, "R K"]:
        """The position's number."""
        return np.arange(start, stop)[:, None].repeat(self.codebooks, axis=1)


class DelayLayout(CodeLayout):
    """Codebook k is k positions late."""

    name = "delay"

    def rows(self, frames: int) -> int:
        """The last codebook is late by all others."""
        return frames + self.codebooks - 1

    def whole(self, rows: int) -> int:
        """Those whose last codebook is there."""
        return max(0, rows - self.codebooks + 1)

    def frames_at(self, start: int, stop: int) -> Int[np.ndarray, "R K"]:
        """Ever earlier frames."""
        return np.arange(start, stop)[:, None] - np.arange(self.codebooks)


class FlatLayout(CodeLayout):
    """One code a position."""

    name = "flat"

    @property
    def pace(self) -> int:
        """K: the codes of a frame come first."""
        return self.codebooks

    def rows(self, frames: int) -> int:
        """K for each."""
        return frames * self.codebooks

    def whole(self, rows: int) -> int:
        """Those whose last code is there."""
        return rows // self.codebooks

    def frames_at(self, start: int, stop: int) -> Int[np.ndarray, "R K"]:
        """The codebooks take turns."""
        row_R1 = np.arange(start, stop)[:, None]
        return np.where(row_R1 % self.codebooks == np.arange(self.codebooks), row_R1 // self.codebooks, -1)


LAYOUTS: dict[LayoutName, type[CodeLayout]] = {
    kind.name: kind for kind in (FrameLayout, DelayLayout, FlatLayout)
}


def code_layout(name: LayoutName, codebooks: int) -> CodeLayout:
    """The layout of that name for a codec of ``codebooks``."""
    return LAYOUTS[name](codebooks)
