"""Questions whose answer no transcript holds: who speaks and how, and how a digit is written."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from omni.datamodules.demo.deck import Deck
from omni.datamodules.demo.digits import DigitPicture
from omni.datamodules.demo.hand import slant, thickness
from omni.datamodules.demo.speech import DIGIT_WORDS, SpeechSplit, SpokenWord
from omni.datamodules.demo.split import Part, Split
from omni.datamodules.demo.task import Task, answered
from omni.datamodules.demo.thirds import Thirds
from omni.datamodules.demo.voice import at_level, level_db, pitch_range
from omni.sequence import Audio, Image, Text

SOURCES = ("speaker", "manner", "writing")
WHO, HOW_FAST, HOW_LOUD, HOW_LIVELY = "who is speaking?", "how fast?", "how loud?", "how lively?"
HOW_THICK, HOW_SLANTED = "how thick is the writing?", "how slanted is the writing?"
MOST_SPEAKERS = 8
"""Of synthetic voices, those that are asked for by name."""
HELDOUT_DIGITS = 2
"""Digits of each synthetic voice that are held out from this question."""
LEVELS = {"quiet": (-38.0, -32.0), "loud": (-22.0, -18.0)}
"""Root mean square in dB of full scale."""


class ParalinguisticTasks:
    """Makes questions from the clips and pictures of one split; both answers of a question come equally often.

    Thirds are taken among clips of the same word and pictures of the same digit, so that what is said or written
    tells nothing about the answer.
    """

    def __init__(
        self, speech: SpeechSplit, digits: Split[DigitPicture], shown: Split[DigitPicture], part: Part,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        """
        Args:
            speech: clips; borders are those of training clips.
            digits: real pictures, of which the training ones give the borders.
            shown: pictures to ask about.
            part: which of both is asked about.
            rng: draws all that is random.
        """
        self._speech, self._digits, self._shown, self._part, self._rng = speech, digits, shown, part, rng

    def speaker(self, count: int) -> list[Task]:
        """Who speaks, of ``count`` clips."""
        if not count:
            return []
        train, heldout = speakers(self._speech)
        named = train if self._part == "train" else heldout
        by_name = {name: Deck(clips, self._rng) for name, clips in sorted(named.items())}
        names = Deck(by_name, self._rng)
        tasks = []
        for _ in range(count):
            name = names.draw()
            tasks.append(answered([by_name[name].draw().audio, Text(text=WHO)], Text(text=name), name))
        return tasks

    def manner(self, count: int) -> list[Task]:
        """How fast, how loud and how lively clips are said, in turn."""
        if not count:
            return []
        clips = self._speech.of(self._part)
        pace = Thirds(self._speech.train, lambda w: w.word, lambda w: w.audio.seconds)
        lively = Thirds(self._speech.train, lambda w: w.word, lambda w: pitch_range(w.audio))
        fast, slow = (Deck(found, self._rng) for found in pace.split(clips))
        flat, moved = (Deck(found, self._rng) for found in lively.split(clips))
        any_clip = Deck(clips, self._rng)
        tasks = []
        for number in range(count):
            second = number // 3 % 2
            if number % 3 == 0:
                tasks.append(self._asked(HOW_FAST, (fast, slow)[second], ("fast", "slow")[second]))
            elif number % 3 == 1:
                tasks.append(self._leveled(any_clip.draw().audio, ("quiet", "loud")[second]))
            else:
                tasks.append(self._asked(HOW_LIVELY, (flat, moved)[second], ("flat", "lively")[second]))
        return tasks

    def _asked(self, question: str, clips: Deck[SpokenWord], answer: str) -> Task:
        return answered([clips.draw().audio, Text(text=question)], Text(text=answer), answer)

    def _leveled(self, audio: Audio, answer: str) -> Task:
        """A clip at a level of the band of the answer; one that would be cut off comes as loud as it can be."""
        clip = at_level(audio, self._rng.uniform(*LEVELS[answer]))
        assert (answer == "loud") == (level_db(clip) > LEVELS["quiet"][1]), (answer, level_db(clip))
        return answered([clip, Text(text=HOW_LOUD)], Text(text=answer), answer)

    def writing(self, count: int) -> list[Task]:
        """How thick and how slanted pictures are written, in turn."""
        if not count:
            return []
        kinds = []
        for question, measure, words in (
            (HOW_THICK, thickness, ("thin", "thick")),
            (HOW_SLANTED, slant, ("left", "right")),
        ):
            thirds = Thirds(self._digits.train, lambda p: p.word, lambda p, of=measure: of(p.pixels))  # type: ignore[misc]
            low, high = thirds.split(self._shown.of(self._part))
            kinds += [
                (question, Deck(found, self._rng), word)
                for found, word in zip((low, high), words, strict=True)
            ]
        tasks = []
        for number in range(count):
            question, pictures, word = kinds[number % len(kinds)]
            picture = Image(pixels=pictures.draw().pixels)
            tasks.append(answered([picture, Text(text=question)], Text(text=word), word))
        return tasks


def speakers(speech: SpeechSplit) -> tuple[dict[str, list[SpokenWord]], dict[str, list[SpokenWord]]]:
    """Clips by speaker, to learn from and to be asked about.

    Recorded speakers are in both parts with other takes. Synthetic voices are held out as a whole, so the first
    ``MOST_SPEAKERS`` training voices are asked for, by digits that this question doesn't name them with in
    training. A synthetic voice is a variant, whatever its accent.
    """
    train, heldout = _by_speaker(speech.train), _by_speaker(speech.heldout)
    both = sorted(train.keys() & heldout.keys())
    if both:
        return {name: train[name] for name in both}, {name: heldout[name] for name in both}
    learnt: dict[str, list[SpokenWord]] = {}
    asked: dict[str, list[SpokenWord]] = {}
    for number, name in enumerate(sorted(train)[:MOST_SPEAKERS]):
        kept = {DIGIT_WORDS[(number + 5 * step) % 10] for step in range(HELDOUT_DIGITS)}
        learnt[name] = [clip for clip in train[name] if clip.word not in kept]
        asked[name] = [clip for clip in train[name] if clip.word in kept]
    return learnt, asked


def _by_speaker(clips: Sequence[SpokenWord]) -> dict[str, list[SpokenWord]]:
    found: dict[str, list[SpokenWord]] = {}
    for clip in clips:
        found.setdefault(clip.voice.rpartition("+")[2], []).append(clip)
    return found
