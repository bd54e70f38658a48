"""Hears spoken words: a support-vector machine on log-mel features."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from omni.evaluation.components import PrincipalComponents
from omni.evaluation.judges.arrays import read_arrays, write_arrays
from omni.evaluation.judges.clips import tight_clip
from omni.evaluation.judges.kernel import KernelClassifier
from omni.evaluation.judges.speech_features import RATE, heard_part, word_features
from omni.evaluation.judges.verdict import NOTHING, Verdict
from omni.sequence import Audio

FILE = "speech_judge.npz"

_COPIES = 2  # altered copies of each recording, beside itself
_SIGNAL_TO_NOISE = (15.0, 40.0)  # dB
_TILT = 0.5  # largest weight of the previous sample: at most +-9.5 dB between lowest and highest frequencies
_PADDING = 800  # samples of noise at either end, at most
_COMPONENTS = 80  # of the features, that the kernel sees


class SpeechJudge:
    """Says which word a clip holds. Fit it to original recordings of the training split only.

    Noise, level, silence at the ends and tone colour hardly matter: it learns from altered copies too.
    """

    def __init__(self, components: PrincipalComponents, classifier: KernelClassifier) -> None:
        self._components, self._classifier = components, classifier

    @classmethod
    def fit(cls, clips: Sequence[Audio], words: Sequence[str], seed: int = 0) -> SpeechJudge:
        """Learn from recordings and the word that each holds.

        Raises:
            ValueError: a recording is silent, or there is not one word per recording.
        """
        if len(clips) != len(words):
            raise ValueError(f"{len(clips)} recordings but {len(words)} words")
        features: list[Float[np.ndarray, " values"]] = []
        for number, (clip, word) in enumerate(zip(clips, words, strict=True)):
            rng = np.random.default_rng([seed, number])
            features += _training_features(clip, rng, f"recording {number} ({word!r})")
        examples = np.stack(features)
        components = PrincipalComponents.fit(examples, _COMPONENTS)
        repeated = [word for word in words for _ in range(1 + _COPIES)]
        return cls(components, KernelClassifier(components.inside(examples), repeated))

    @property
    def words(self) -> tuple[str, ...]:
        """The answers it can give."""
        return self._classifier.words

    def judge(self, clips: Sequence[Audio]) -> list[Verdict]:
        """What each clip says; a clip's verdict doesn't depend on the others."""
        parts = [heard_part(clip) for clip in clips]
        features = [word_features(part_W) for part_W in parts if part_W is not None]
        if not features:
            return [NOTHING for _ in clips]
        verdicts = iter(self._classifier.judge(self._components.inside(np.stack(features))))
        return [NOTHING if part_W is None else next(verdicts) for part_W in parts]

    def save(self, folder: Path | str) -> None:
        """Write the judge into ``folder``."""
        arrays = {"mean": self._components.mean, "directions": self._components.directions}
        write_arrays(Path(folder) / FILE, {**self._classifier.arrays(), **arrays})

    @classmethod
    def load(cls, folder: Path | str) -> SpeechJudge:
        """Load what ``save`` wrote.

        Raises:
            ValueError: there is no saved judge in ``folder``.
        """
        arrays = read_arrays(Path(folder) / FILE)
        components = PrincipalComponents(arrays["mean"], arrays["directions"])
        return cls(components, KernelClassifier.from_arrays(arrays))


def _training_features(
    clip: Audio, rng: np.random.Generator, name: str
) -> list[Float[np.ndarray, " values"]]:
    """The features of a recording and of its altered copies."""
    original_W = heard_part(clip)
    if original_W is None:
        raise ValueError(f"{name} is silent or shorter than 50 ms: nothing to learn a word from")
    features = [word_features(original_W)]
    while len(features) < 1 + _COPIES:
        altered = tight_clip(_altered(original_W, rng), RATE)
        features.append(word_features(original_W if altered is None else altered))
    return features


def _altered(waveform_W: Float[np.ndarray, " W"], rng: np.random.Generator) -> Float[np.ndarray, " other"]:
    """The clip in another tone colour, in noise, with some of the noise before and after it."""
    tilted_W = np.convolve(waveform_W, [1, rng.uniform(-_TILT, _TILT)])[: len(waveform_W)]
    level = np.sqrt(np.square(tilted_W).mean())
    padded = np.pad(tilted_W, tuple(rng.integers(0, _PADDING, 2)))
    return padded + rng.normal(0, level * 10 ** (-rng.uniform(*_SIGNAL_TO_NOISE) / 20), len(padded))
