"""Documents in which needles are hidden in prose and asked for, of an exact number of positions at most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from omni.datamodules.demo.deck import named_rng
from omni.datamodules.demo.split import Part
from omni.datamodules.demo.task import asked_by_user
from omni.datamodules.needle.haystack import Haystack
from omni.datamodules.needle.needles import KEYS, Kind, Needle, NeedleMaker
from omni.layout import Layout
from omni.sequence import Document, Segment, Text, turn_of


@dataclass(frozen=True, kw_only=True)
class NeedleSize:
    """How long documents are, and how many needles they hold. Both ends are included."""

    lengths: tuple[int, int]
    """Positions; drawn so that each doubling is equally likely."""
    needles: tuple[int, int] = (1, 1)
    """Needles of a document. All are asked for, in random order."""

    def __post_init__(self) -> None:
        for name, (low, high), least in (("lengths", self.lengths, 64), ("needles", self.needles, 1)):
            if not least <= low <= high:
                raise ValueError(f"{name} {low}-{high}: expected two rising numbers, {least} or more")
        if self.needles[1] > len(KEYS):
            raise ValueError(f"needles {self.needles[1]}: at most {len(KEYS)} can be told apart")

    def draw(self, rng: np.random.Generator) -> tuple[int, int]:
        """Positions and needles of a document."""
        low, high = self.lengths
        length = round(low * (high / low) ** float(rng.random()))
        return length, int(rng.integers(self.needles[0], self.needles[1], endpoint=True))


class NeedleDocuments:
    """Hides needles of one split in its prose. Each document is a function of the seed and its key."""

    def __init__(self, haystack: Haystack, maker: NeedleMaker, layout: Layout, seed: int, part: Part) -> None:
        self.haystack, self.maker, self.layout = haystack, maker, layout
        self.seed, self.part = seed, part

    def several(self, number: int, kinds: Sequence[Kind], size: NeedleSize) -> Document:
        """A document with needles at random places, to train on. One too short for its needles has fewer."""
        key = f"{self.part}-needle-{number:06d}"
        rng = self._rng(key)
        length, count = size.draw(rng)
        needles = self._needles(kinds, count, rng)
        while len(needles) > 1 and self._bare(needles) > length:
            needles.pop()
        places = sorted(rng.random(len(needles)).tolist())
        return self._hidden(needles, places, length, key, "needle", rng)

    def single(self, kind: Kind, length: int, depth: float, number: int) -> Document:
        """A document of ``length`` positions with one needle behind ``depth`` (0 to 1) of its prose, to test on."""
        key = f"{self.part}-{kind}-{length}-{round(1000 * depth):04d}-{number}"
        rng = self._rng(key)
        return self._hidden(self._needles([kind], 1, rng), [depth], length, key, f"needle_{kind}", rng)

    def _rng(self, key: str) -> np.random.Generator:
        return named_rng(self.seed, "needle", key)

    def _needles(self, kinds: Sequence[Kind], count: int, rng: np.random.Generator) -> list[Needle]:
        names = [KEYS[i] for i in rng.permutation(len(KEYS))[:count]]
        return [self.maker.make(kinds[int(rng.integers(len(kinds)))], name, rng) for name in names]

    def _hidden(
        self,
        needles: Sequence[Needle],
        depths: Sequence[float],
        length: int,
        key: str,
        source: str,
        rng: np.random.Generator,
    ) -> Document:
        """The needles behind their ``depths`` of as much prose as there is room for, asked for in random order."""
        room = length - self._bare(needles)
        if room < 0:
            raise ValueError(
                f"{key}: {length} positions can't hold {len(needles)} needles and their questions"
            )
        asked = [needles[i] for i in rng.permutation(len(needles))]
        lines = self.haystack.take(room, rng)
        while True:
            segments = _turns(_hay(lines, needles, depths), asked)
            document = Document(segments, key=key, source=source, label=asked[-1].answer)
            if self._positions(document) <= length:
                return document
            lines.pop()  # lines that are joined may take other tokens than by themselves

    def _bare(self, needles: Sequence[Needle]) -> int:
        """Positions of the needles and their questions without any prose."""
        nowhere = [0.0] * len(needles)
        return self._positions(Document(_turns(_hay([], needles, nowhere), needles)))

    def _positions(self, document: Document) -> int:
        return int(self.layout.measure(document)[0].sum())


def _hay(lines: Sequence[str], needles: Sequence[Needle], depths: Sequence[float]) -> list[Segment]:
    """The lines, with each needle behind its share of them."""
    places = [0, *(round(depth * len(lines)) for depth in depths), len(lines)]
    told: list[Segment] = []
    for i, needle in enumerate(needles):
        told += [Text("".join(lines[places[i] : places[i + 1]])), *needle.told]
    return [*told, Text("".join(lines[places[-2] :]))]


def _turns(hay: Sequence[Segment], asked: Sequence[Needle]) -> tuple[Segment, ...]:
    """The haystack with the first question, then answers and questions in turn."""
    turns: tuple[Segment, ...] = ()
    for i, needle in enumerate(asked):
        question = [*(hay if i == 0 else ()), Text(needle.question)]
        turns += asked_by_user(question) + turn_of([Text(needle.answer)], "assistant", True)
    return turns
