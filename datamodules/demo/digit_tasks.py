"""Tasks about digits that are drawn, spoken or written: reading, saying and drawing one, adding them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from omni.datamodules.demo.arithmetic import NUMBER_WORDS
from omni.datamodules.demo.deck import GroupedDeck
from omni.datamodules.demo.digits import DigitPicture
from omni.datamodules.demo.speech import DIGIT_WORDS, SpokenWord
from omni.datamodules.demo.task import Task, answered, unprompted
from omni.modality import AUDIO, IMAGE, TEXT, Modality
from omni.sequence import Image, Segment, Text

# The first wording of each task is the one that the documentation uses; an empty one leaves the medium alone.
READ_PICTURE = ("which digit?", "", "read this digit", "what number is this?")
HEAR_CLIP = ("", "which digit?", "what was said?", "what number is this?")
DRAW_WORD = ("draw {a} {word}", "draw {word}", "draw the digit {word}")
SAY_WORD = ("say {word}", "say the digit {word}", "speak the word {word}")
SAY_PICTURE = ("say it", "read it aloud", "say this digit")
DRAW_CLIP = ("draw it", "draw this digit", "write it down")
ADD = (("", " plus ", " is"), ("what is ", " plus ", "?"))


class DigitTasks:
    """Makes tasks from the pictures and clips of one split, each used once before any comes again.

    ``balanced`` draws every digit equally often instead.
    """

    def __init__(
        self,
        pictures: Sequence[DigitPicture],
        words: Sequence[SpokenWord],
        rng: np.random.Generator,
        balanced: bool = False,
    ) -> None:
        self._rng = rng
        self._pictures = GroupedDeck(pictures, lambda picture: picture.word, rng)
        self._words = GroupedDeck(words, lambda word: word.word, rng)
        self._draw_picture = self._pictures.draw_balanced if balanced else self._pictures.draw
        self._draw_word = self._words.draw_balanced if balanced else self._words.draw
        self._operand: dict[Modality, Callable[[str], Segment]] = {
            TEXT: lambda word: Text(text=word),
            IMAGE: lambda word: _image(self._pictures.draw_of(word)),
            AUDIO: lambda word: self._words.draw_of(word).audio,
        }

    def _wording(self, wordings: Sequence[str], word: str = "") -> Text:
        wording = wordings[int(self._rng.integers(len(wordings)))]
        return Text(text=wording.format(word=word, a="an" if word == "eight" else "a"))

    def image_to_text(self) -> Task:
        """Read a picture."""
        shown = self._draw_picture()
        return answered([_image(shown), self._wording(READ_PICTURE)], Text(text=shown.word), shown.word)

    def audio_to_text(self) -> Task:
        """Understand a clip."""
        said = self._draw_word()
        return answered([said.audio, self._wording(HEAR_CLIP)], Text(text=said.word), said.word)

    def text_to_image(self) -> Task:
        """Draw a digit."""
        drawn = self._draw_picture()
        return answered([self._wording(DRAW_WORD, drawn.word)], _image(drawn), drawn.word)

    def text_to_audio(self) -> Task:
        """Say a digit."""
        said = self._draw_word()
        return answered([self._wording(SAY_WORD, said.word)], said.audio, said.word)

    def image_to_audio(self) -> Task:
        """Say the digit of a picture."""
        shown = self._draw_picture()
        spoken = self._words.draw_of(shown.word)
        return answered([_image(shown), self._wording(SAY_PICTURE)], spoken.audio, shown.word)

    def audio_to_image(self) -> Task:
        """Draw the digit of a clip."""
        said = self._draw_word()
        drawn = self._pictures.draw_of(said.word)
        return answered([said.audio, self._wording(DRAW_CLIP)], _image(drawn), said.word)

    def image(self) -> Task:
        """A picture that nobody asked for."""
        drawn = self._draw_picture()
        return unprompted(_image(drawn), drawn.word)

    def audio(self) -> Task:
        """A clip that nobody asked for."""
        said = self._draw_word()
        return unprompted(said.audio, said.word)

    def addition(self, digits: Sequence[int], media: Sequence[Modality]) -> Task:
        """The sum of digits, each in its medium."""
        before, between, after = ADD[self._rng.integers(len(ADD))]
        question: list[Segment] = [Text(text=before)]
        for digit, medium in zip(digits, media, strict=True):
            question += [self._operand[medium](DIGIT_WORDS[digit]), Text(text=between)]
        total = NUMBER_WORDS[sum(digits)]
        return answered([*question[:-1], Text(text=after)], Text(text=total), total)


def _image(picture: DigitPicture) -> Image:
    return Image(pixels=picture.pixels)
