"""Spoken digit words: what a clip is, how it is cleaned, and its split into training and held-out clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from omni.datamodules.demo.split import Split
from omni.media import MediaError, resample
from omni.sequence import Audio

SAMPLE_RATE = 8_000
"""Of every clip of the demo, Hz."""
DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
MAX_SECONDS = 3.0
"""Longest spoken digit that is taken for one."""

_FRAME = SAMPLE_RATE // 100  # 10 ms
_SILENCE = 10 ** (-40 / 20)  # of the loudest frame; weak fricatives such as the f of "five" lie just above
_MARGIN = 3  # frames kept on either side
_PEAK = 0.7


@dataclass(frozen=True)
class SpokenWord:
    """A clip of one digit word."""

    word: str
    """One of ``DIGIT_WORDS``."""
    voice: str
    """Who speaks: a synthetic voice or the name of a speaker."""
    take: str
    """Which of the voice's clips of this word it is."""
    audio: Audio

    @property
    def digit(self) -> int:
        """The number that is said."""
        return DIGIT_WORDS.index(self.word)


@dataclass(frozen=True)
class SpeechSplit(Split[SpokenWord]):
    """Clips for training and clips that training never hears; both have every digit."""

    origin: str
    """Where the clips come from, in words for a report."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Files that could not be used, each with the reason."""

    def __post_init__(self) -> None:
        for name, words in (("training", self.train), ("held-out", self.heldout)):
            missing = sorted(set(DIGIT_WORDS) - {word.word for word in words}, key=DIGIT_WORDS.index)
            if missing:
                raise ValueError(
                    f"{self.origin}: no {name} clip of {', '.join(missing)} among {len(words)} clips "
                    f"({len(self.skipped)} files skipped); every digit needs training and held-out clips"
                )


def cleaned(waveform_W: Float[np.ndarray, " W"], sample_rate: int) -> Audio:
    """The clip at ``SAMPLE_RATE``, without silence at its ends (30 ms of it stay) and with its peak at 0.7.

    Silence is what lies 40 dB or more under the loudest 10 ms.

    Raises:
        MediaError: nothing but silence, or longer than ``MAX_SECONDS`` without its silence.
    """
    clip_W = resample(waveform_W, sample_rate, SAMPLE_RATE)
    clip_W = np.pad(clip_W, (0, -len(clip_W) % _FRAME))
    loudness = np.sqrt(np.square(clip_W.reshape(-1, _FRAME)).mean(axis=1))
    if loudness.max() == 0:
        raise MediaError(f"all {len(waveform_W)} samples are silent")
    (loud,) = np.nonzero(loudness >= _SILENCE * loudness.max())
    first, last = max(0, loud[0] - _MARGIN), min(len(loudness), loud[-1] + 1 + _MARGIN)
    clip_W = clip_W[first * _FRAME : last * _FRAME]
    if len(clip_W) > MAX_SECONDS * SAMPLE_RATE:
        raise MediaError(
            f"{len(clip_W) / SAMPLE_RATE:.1f} s of sound, at most {MAX_SECONDS} s is a spoken digit"
        )
    return Audio(
        waveform=(clip_W * (_PEAK / np.abs(clip_W).max())).astype(np.float32), sample_rate=SAMPLE_RATE
    )
