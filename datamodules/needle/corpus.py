"""What needles and haystacks are made of: prose, pictures of digits and spoken digits, split as in the demo."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from omni.datamodules.demo.digits import DigitPicture, digit_pictures
from omni.datamodules.demo.prose import prose_passages
from omni.datamodules.demo.recorded import recorded_words
from omni.datamodules.demo.speech import SpokenWord
from omni.datamodules.demo.split import Part, Split
from omni.datamodules.demo.synthetic import synthetic_words
from omni.datamodules.demo.variants import with_variants
from omni.datamodules.needle.documents import NeedleDocuments
from omni.datamodules.needle.haystack import Haystack, lines_of
from omni.datamodules.needle.needles import Kind, NeedleMaker
from omni.layout import Layout

NOTHING: Split[SpokenWord] = Split((), ())


@dataclass(frozen=True, eq=False)
class NeedleCorpus:
    """Prose, pictures and clips; a function of the seed."""

    seed: int
    lines: Split[str]
    pictures: Split[DigitPicture]
    words: Split[SpokenWord]

    @classmethod
    def build(
        cls,
        seed: int,
        kinds: Sequence[Kind],
        speech: Path | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> NeedleCorpus:
        """Gather what needles of ``kinds`` need; ``progress`` is told of clips that are spoken or read.

        Raises:
            ImportError: clips are needed, and the extra ``demo`` isn't installed.
            ValueError: ``speech`` has no usable recordings.
        """
        prose, digits = prose_passages(seed), digit_pictures()
        words: Split[SpokenWord] = NOTHING
        if "audio" in kinds:
            words = (
                synthetic_words(seed, progress=progress)
                if speech is None
                else recorded_words(speech, progress)
            )
        return cls(
            seed,
            Split(tuple(lines_of(prose.train)), tuple(lines_of(prose.heldout))),
            Split(with_variants(digits.train), digits.heldout),
            words,
        )

    def documents(self, part: Part, layout: Layout) -> NeedleDocuments:
        """The documents of one part, measured by ``layout``."""
        maker = NeedleMaker(self.pictures.of(part), self.words.of(part))
        haystack = Haystack(self.lines.of(part), lambda line: len(layout.text.encode(line)))
        return NeedleDocuments(haystack, maker, layout, self.seed, part)
