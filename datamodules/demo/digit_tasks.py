"""Tasks about digits that are drawn, spoken or written: reading, saying and drawing one, adding them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from omni.datamodules.demo.arithmetic import NUMBER_WORDS, addends
from omni.datamodules.demo.deck import GroupedDeck
from omni.datamodules.demo.digits import DigitPicture
from omni.datamodules.demo.speech import SpokenWord
from omni.datamodules.demo.task import Task, answered, asked_by_user, unprompted
from omni.modality import AUDIO, IMAGE, TEXT, Modality
from omni.sequence import Image, Segment, Text, turn_of

# The first wording of each task is the one that the documentation uses; an empty one leaves the medium alone.
READ_PICTURE = ("which digit?", "", "read this digit", "what number is this?")
HEAR_CLIP = ("", "which digit?", "what was said?", "what number is this?")
DRAW_WORD = ("draw {a} {word}", "draw {word}", "draw the digit {word}")
SAY_WORD = ("say {word}", "say the digit {word}", "speak the word {word}")
SAY_PICTURE = ("say it", "read it aloud", "say this digit")
DRAW_CLIP = ("draw it", "draw this digit", "write it down")
READ_ALL = ("", " are which digits?")
ADD = (("", " is"), ("what is ", "?"))


class DigitTasks:
    """Makes tasks from the pictures and clips of one split, each used once before any comes again."""

    def __init__(
        self,
        pictures: Sequence[DigitPicture],
        shown: Sequence[DigitPicture],
        words: Sequence[SpokenWord],
        rng: np.random.Generator,
        balanced: bool = False,
    ) -> None:
        """
        Args:
            pictures: to draw.
            shown: pictures to read.
            words: clips, to say and to hear.
            rng: draws all that is random.
            balanced: every digit comes equally often, instead of every picture and clip.
        """
        self._rng = rng
        self._shown = GroupedDeck(shown, lambda picture: picture.word, rng)
        self._pictures = GroupedDeck(pictures, lambda picture: picture.word, rng)
        self._words = GroupedDeck(words, lambda word: word.word, rng)
        self._show_picture = self._shown.draw_balanced if balanced else self._shown.draw
        self._draw_picture = self._pictures.draw_balanced if balanced else self._pictures.draw
        self._draw_word = self._words.draw_balanced if balanced else self._words.draw
        self._operand: dict[Modality, Callable[[str], Segment]] = {
            TEXT: lambda word: Text(text=word),
            IMAGE: lambda word: _image(self._shown.draw_of(word)),
            AUDIO: lambda word: self._words.draw_of(word).audio,
        }

    def _wording(self, wordings: Sequence[str], word: str = "") -> Text:
        wording = wordings[int(self._rng.integers(len(wordings)))]
        return Text(text=wording.format(word=word, a="an" if word == "eight" else "a"))

    def image_to_text(self) -> Task:
        """Read a picture."""
        shown = self._show_picture()
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
        shown = self._show_picture()
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

    def reading(self, digits: Sequence[int], media: Sequence[Modality]) -> Task:
        """Several digits are read, each in its medium."""
        after = self._wording(READ_ALL)
        answer = in_words(digits)
        return answered([*self._listed(digits, media, " and "), after], Text(text=answer), answer)

    def addition(self, operands: Sequence[int], media: Sequence[Modality]) -> Task:
        """Digits are added, each in its medium; the answer says first what is added."""
        answer = f"{in_words(addends(operands))} make {NUMBER_WORDS[sum(operands)]}"
        said = turn_of([Text(text=answer)], "assistant", True)
        return Task(self._sum_asked_for(operands, media) + said, answer)

    def listing_addends(self, operands: Sequence[int], media: Sequence[Modality]) -> Task:
        """The same, but of the answer only what is added is trained on.

        What it makes is learnt from ``sum_of_words``, of which there are too many to learn by heart.
        """
        whole = self.addition(operands, media)
        total = NUMBER_WORDS[sum(operands)]
        said = turn_of([Text(text=f"{in_words(addends(operands))} make")], "assistant", True)
        return Task(whole.segments[:-1] + said + _total(total, loss=False), whole.label)

    def sum_of_words(self, operands: Sequence[int], shown: Sequence[int], media: Sequence[Modality]) -> Task:
        """A sum of three or more digits in words, of which only the result is trained on.

        Where other digits are ``shown``, in their media, a user asks for their sum: whatever was asked, the result
        is that of the numbers which the answer names. Without such documents the model adds in words only.
        """
        total = NUMBER_WORDS[sum(operands)]
        asked = turn_of([Text(text=f"{in_words(operands)} make")], "assistant", False)
        return Task(self._sum_asked_for(shown, media) + asked + _total(total, loss=True), total)

    def _sum_asked_for(self, numbers: Sequence[int], media: Sequence[Modality]) -> tuple[Segment, ...]:
        """A user's turn that asks for a sum; nothing without numbers."""
        if not numbers:
            return ()
        before, after = ADD[self._rng.integers(len(ADD))]
        return asked_by_user([Text(text=before), *self._listed(numbers, media, " plus "), Text(text=after)])

    def _listed(self, numbers: Sequence[int], media: Sequence[Modality], between: str) -> list[Segment]:
        """The numbers in their media with ``between`` between them."""
        listed: list[Segment] = []
        for number, medium in zip(numbers, media, strict=True):
            listed += [self._operand[medium](NUMBER_WORDS[number]), Text(text=between)]
        return listed[:-1]


def _total(total: str, loss: bool) -> tuple[Segment, ...]:
    """The end of an assistant's answer to a sum."""
    return turn_of([Text(text=f" {total}")], "assistant", loss)


def in_words(numbers: Sequence[int]) -> str:
    """Such as "three and four"."""
    return " and ".join(NUMBER_WORDS[number] for number in numbers)


def _image(picture: DigitPicture) -> Image:
    return Image(pixels=picture.pixels)
