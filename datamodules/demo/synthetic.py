"""Spoken digit words synthesised by eSpeak NG: 52 voices, each at three rates and three pitches."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np

from omni.datamodules.demo.espeak import SAMPLE_RATE, Utterance, speak
from omni.datamodules.demo.speech import DIGIT_WORDS, SpeechSplit, SpokenWord, cleaned

ACCENTS = ("en-us", "en")
VARIANTS = (
    *("mike2", "edward2", "Reed", "caleb", "klatt", "klatt4", "benjamin", "adam", "robosoft", "robosoft7"),
    *("michel", "announcer", "m2", "m4", "m5", "m6", "ed", "f1", "f2", "Denis", "Gene2", "anika", "pablo"),
    *("john", "victor", "grandpa"),
)
"""The variants of eSpeak NG that an outside recogniser understands best; no two sound nearly the same."""
MANNERS = tuple(product((135, 165, 195), (35, 50, 65)))
"""Rates in words a minute, and pitches in 0..100."""
HELDOUT_SHARE = 0.2


def heldout_variants(seed: int) -> frozenset[str]:
    """The voice variants that training never hears, in no accent."""
    order = np.random.default_rng([seed, 0x5BEEC4]).permutation(len(VARIANTS))
    return frozenset(VARIANTS[i] for i in order[: round(HELDOUT_SHARE * len(VARIANTS))])


def synthetic_words(
    seed: int, manners: int = len(MANNERS), progress: Callable[[int, int], None] | None = None
) -> SpeechSplit:
    """Every digit word by every voice in the first ``manners`` of ``MANNERS``; whole voices are held out.

    ``progress`` is called with the number of clips done and in all. A voice is a variant in an accent; a
    held-out variant is held out in both accents, at all rates and pitches.

    Raises:
        ImportError, RuntimeError: as ``speak``.
    """
    utterances = [
        Utterance(word, f"{accent}+{variant}", rate, pitch)
        for accent, variant, (rate, pitch), word in product(ACCENTS, VARIANTS, MANNERS[:manners], DIGIT_WORDS)
    ]
    words: list[SpokenWord] = []
    for utterance, waveform_W in zip(utterances, speak(utterances), strict=True):
        take = f"rate{utterance.rate}-pitch{utterance.pitch}"
        words.append(SpokenWord(utterance.text, utterance.voice, take, cleaned(waveform_W, SAMPLE_RATE)))
        if progress is not None:
            progress(len(words), len(utterances))
    heldout = heldout_variants(seed)
    return SpeechSplit(
        train=tuple(word for word in words if word.voice.split("+")[1] not in heldout),
        heldout=tuple(word for word in words if word.voice.split("+")[1] in heldout),
        origin=f"synthetic speech (eSpeak NG, {len(ACCENTS) * len(VARIANTS)} voices)",
    )
