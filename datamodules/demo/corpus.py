"""The demo's corpus: documents that go from every modality to every other, for training and held out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import ceil
from pathlib import Path

import numpy as np

from omni.datamodules.demo.arithmetic import FEWEST_DIGITS, MOST_DIGITS, Pair, heldout_pairs, random_digits
from omni.datamodules.demo.chart_task import describe_chart
from omni.datamodules.demo.charts import HELDOUT_START, Chart, draw_chart
from omni.datamodules.demo.deck import Deck, named_rng
from omni.datamodules.demo.digit_tasks import DigitTasks
from omni.datamodules.demo.digits import DigitPicture, digit_pictures
from omni.datamodules.demo.paralinguistic import SOURCES, ParalinguisticTasks
from omni.datamodules.demo.prose import Passage, code_passages, prose_passages
from omni.datamodules.demo.recorded import recorded_words
from omni.datamodules.demo.size import HELDOUT_SIZE, TRAIN_SIZE, CorpusSize
from omni.datamodules.demo.speech import SpeechSplit, SpokenWord
from omni.datamodules.demo.split import Part, Split
from omni.datamodules.demo.synthetic import MANNERS, synthetic_words
from omni.datamodules.demo.task import Task, documents, running_text
from omni.datamodules.demo.variants import with_variants
from omni.modality import MODALITIES, Modality
from omni.sequence import Document

Progress = Callable[[str, int, int], None]
"""Called with the name of a stage, how many of its things are done, and how many there are in all."""

MOST_MIXED = 4
"""Digits that are read or added in mixed media at most: pictures and clips take many positions."""
ASKED_FOR = 0.3
"""Share of the sums in words that follow a user's question, which is about other digits."""
MOST_SHOWN = 2
"""Digits of such a question at most."""


@dataclass(frozen=True, eq=False)
class DemoCorpus:
    """Everything that the demo's documents are made of; a function of its seed and its media."""

    seed: int
    train_size: CorpusSize
    heldout_size: CorpusSize
    digits: Split[DigitPicture]
    """Pictures that are drawn."""
    shown: Split[DigitPicture]
    """Pictures that are read: those that are drawn, and in training variants of them."""
    speech: SpeechSplit
    charts: Split[Chart]
    prose: Split[Passage]
    code: Split[Passage]
    heldout_pairs: frozenset[Pair]
    """Unordered pairs of digits that are added in held-out documents only."""

    @classmethod
    def build(
        cls,
        seed: int,
        speech_folder: Path | None = None,
        scale: float = 1.0,
        progress: Progress | None = None,
        train_size: CorpusSize = TRAIN_SIZE,
        heldout_size: CorpusSize = HELDOUT_SIZE,
    ) -> DemoCorpus:
        """Gather the media: synthesise speech, or read ``speech_folder``, and draw the charts.

        ``scale`` shrinks the numbers of documents, and below 1 also the number of synthetic clips.

        Raises:
            ImportError: a package of the extra ``demo`` isn't installed.
            ValueError: ``scale`` isn't in (0, 1], or ``speech_folder`` has no usable recordings.
        """
        if not 0 < scale <= 1:
            raise ValueError(f"scale is {scale}, expected more than 0 and at most 1")
        train_size, heldout_size = train_size.scaled(scale), heldout_size.scaled(scale)
        if speech_folder is None:
            speech = synthetic_words(seed, ceil(scale * len(MANNERS)), _stage(progress, "speech"))
        else:
            speech = recorded_words(speech_folder, _stage(progress, "speech"))
        digits = digit_pictures()
        return cls(
            seed=seed,
            train_size=train_size,
            heldout_size=heldout_size,
            digits=digits,
            shown=Split(with_variants(digits.train), digits.heldout),
            speech=speech,
            charts=_draw_charts(seed, train_size, heldout_size, _stage(progress, "charts")),
            prose=prose_passages(seed),
            code=code_passages(seed),
            heldout_pairs=heldout_pairs(seed),
        )

    @property
    def words_train(self) -> tuple[SpokenWord, ...]:
        """Clips for training; the codec and the judges train on them too."""
        return self.speech.train

    @property
    def words_heldout(self) -> tuple[SpokenWord, ...]:
        """Clips that training never hears."""
        return self.speech.heldout

    def train(self) -> Iterator[Document]:
        """The training documents, source by source."""
        for source, count in self.train_size.counts().items():
            yield from documents(source, self._tasks("train", source, count))

    def heldout(self) -> Iterator[Document]:
        """The documents to evaluate on, source by source; those of ``train`` have other keys."""
        for source, count in self.heldout_size.counts().items():
            yield from documents(source, self._tasks("heldout", source, count), prefix="heldout-")

    def _tasks(self, part: Part, source: str, count: int) -> Iterator[Task]:
        """``count`` tasks of one source; its randomness depends on no other source."""
        rng = named_rng(self.seed, part, source)
        if source == "chart_to_text":
            return (describe_chart(chart, rng) for chart in self.charts.of(part)[:count])
        if source in SOURCES:
            asked = ParalinguisticTasks(self.speech, self.digits, self.shown, part, rng)
            return iter(getattr(asked, source)(count))
        if source in ("prose", "code"):
            passages = (self.prose if source == "prose" else self.code).of(part)
            chosen = rng.permutation(len(passages))[:count]
            return (running_text(passages[i].text) for i in chosen)
        # the held-out pictures are read once each; else held-out digits come equally often
        balanced = part == "heldout" and source != "image_to_text"
        tasks = DigitTasks(self.digits.of(part), self.shown.of(part), self.speech.of(part), rng, balanced)
        if source == "arithmetic" and part == "heldout":
            sums = Deck(product(self._heldout_orders(), product(MODALITIES, MODALITIES)), rng)
            return (tasks.addition(*sums.draw()) for _ in range(count))
        if source == "arithmetic":
            operands = (self._random_operands(2, MOST_MIXED, rng) for _ in range(count))
            return (tasks.listing_addends(digits, _random_media(digits, rng)) for digits in operands)
        if source == "reading":
            lists = (rng.integers(0, 10, rng.integers(2, MOST_MIXED + 1)).tolist() for _ in range(count))
            return (tasks.reading(digits, _random_media(digits, rng)) for digits in lists)
        if source == "sums":
            return (self._sum_of_words(tasks, rng) for _ in range(count))
        make: Callable[[], Task] = getattr(tasks, source)
        return (make() for _ in range(count))

    def _sum_of_words(self, tasks: DigitTasks, rng: np.random.Generator) -> Task:
        """A sum that the assistant says, in some documents to a user who shows other digits."""
        operands = self._random_operands(FEWEST_DIGITS, MOST_DIGITS, rng)
        count = int(rng.integers(1, MOST_SHOWN, endpoint=True)) if rng.random() < ASKED_FOR else 0
        shown = random_digits(count, self.heldout_pairs, rng)
        return tasks.sum_of_words(operands, shown, _random_media(shown, rng))

    def _random_operands(self, fewest: int, most: int, rng: np.random.Generator) -> tuple[int, ...]:
        return random_digits(int(rng.integers(fewest, most, endpoint=True)), self.heldout_pairs, rng)

    def _heldout_orders(self) -> list[Pair]:
        pairs = sorted(self.heldout_pairs)
        return pairs + [(b, a) for a, b in pairs if a != b]


def _random_media(digits: Sequence[int], rng: np.random.Generator) -> list[Modality]:
    """A medium for each digit."""
    return [MODALITIES[int(rng.integers(len(MODALITIES)))] for _ in digits]


def _draw_charts(
    seed: int, train_size: CorpusSize, heldout_size: CorpusSize, progress: Callable[[int, int], None] | None
) -> Split[Chart]:
    train, heldout = train_size.chart_to_text, heldout_size.chart_to_text
    charts: list[Chart] = []
    for index in (*range(train), *range(HELDOUT_START, HELDOUT_START + heldout)):
        charts.append(draw_chart(seed, index))
        if progress is not None:
            progress(len(charts), train + heldout)
    return Split(tuple(charts[:train]), tuple(charts[train:]))


def _stage(progress: Progress | None, stage: str) -> Callable[[int, int], None] | None:
    return None if progress is None else partial(progress, stage)
