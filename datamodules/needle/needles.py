"""Needles: a sentence that holds a number, a picture or a spoken word, and the question that asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar, get_args

import numpy as np

from omni.datamodules.demo.digits import DigitPicture
from omni.datamodules.demo.speech import DIGIT_WORDS, SpokenWord
from omni.sequence import Image, Segment, Text

Kind = Literal["text", "image", "audio"]
KINDS: tuple[Kind, ...] = get_args(Kind)
Item = TypeVar("Item", DigitPicture, SpokenWord)

KEYS = (
    *("badger", "bear", "beaver", "bison", "camel", "cat", "crow", "deer", "dog", "dove", "duck", "eagle"),
    *("falcon", "fox", "frog", "goat", "goose", "hare", "hawk", "horse", "koala", "lark", "lion", "lynx"),
    *("mole", "moose", "mouse", "otter", "owl", "panda", "parrot", "pike", "pony", "rabbit", "raven"),
    *("robin", "salmon", "seal", "shark", "sheep", "snail", "snake", "swan", "tiger", "toad", "trout"),
    *("wolf", "wren"),
)
"""Names that needles are told apart by."""
DIGITS = 4
"""Of a magic number, all different: the one before then says which comes next."""


@dataclass(frozen=True, eq=False)
class Needle:
    """Something to find again."""

    kind: Kind
    told: tuple[Segment, ...]
    """The sentence; it begins and ends with text, and ends its line."""
    question: str
    answer: str
    """One or more digits in words, as the demo writes them."""


class NeedleMaker:
    """Makes needles from the pictures and clips of one split."""

    def __init__(self, pictures: Sequence[DigitPicture], words: Sequence[SpokenWord]) -> None:
        """
        Args:
            pictures: may be none where no needle is a picture.
            words: may be none where no needle is a clip.
        """
        self._pictures, self._words = _by_word(pictures), _by_word(words)

    def make(self, kind: Kind, key: str, rng: np.random.Generator) -> Needle:
        """A needle that is told apart by ``key``; every digit is equally likely."""
        if kind == "text":
            number = " ".join(DIGIT_WORDS[digit] for digit in rng.permutation(10)[:DIGITS])
            told: tuple[Segment, ...] = (Text(f"The magic number of the {key} is {number}.\n"),)
            return Needle(kind, told, f"What is the magic number of the {key}?", number)
        word = DIGIT_WORDS[int(rng.integers(len(DIGIT_WORDS)))]
        if kind == "image":
            shown = self._pictures[word][int(rng.integers(len(self._pictures[word])))]
            told = (Text(f"The picture of the {key} is "), Image(shown.pixels), Text(".\n"))
            return Needle(kind, told, f"Which digit is the picture of the {key}?", word)
        said = self._words[word][int(rng.integers(len(self._words[word])))]
        told = (Text(f"The word of the {key} is "), said.audio, Text(".\n"))
        return Needle(kind, told, f"Which digit is the word of the {key}?", word)


def _by_word(items: Sequence[Item]) -> dict[str, list[Item]]:
    groups: dict[str, list[Item]] = {}
    for item in items:
        groups.setdefault(item.word, []).append(item)
    return groups
