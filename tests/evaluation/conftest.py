"""Real digits and spoken words for the judges, and judges fitted to their training parts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from omni.datamodules.demo.digits import digit_pictures
from omni.datamodules.demo.recorded import recorded_words
from omni.datamodules.demo.synthetic import synthetic_words
from omni.evaluation.judges.digits import DigitJudge
from omni.evaluation.judges.pocketsphinx import SphinxJudge
from omni.evaluation.judges.speech import SpeechJudge
from omni.sequence import Image
from tests.evaluation.real import Clips, Pictures


@pytest.fixture(scope="session")
def real_digits() -> tuple[Pictures, Pictures]:
    """Scikit-learn's digits and what they show: the training pictures, and the last fifth, held out."""
    digits = digit_pictures()
    train, heldout = ([Image(picture.pixels) for picture in part] for part in (digits.train, digits.heldout))
    return (train, [p.word for p in digits.train]), (heldout, [p.word for p in digits.heldout])


@pytest.fixture(scope="session")
def real_speech() -> tuple[Clips, Clips]:
    """Training and held-out clips and their words.

    Recordings from the folder ``OMNI_FSDD`` if that is set, else words by eSpeak in 52 voices.
    """
    folder = os.environ.get("OMNI_FSDD")
    if not folder:
        pytest.importorskip("espeakng_loader")
    speech = recorded_words(Path(folder)) if folder else synthetic_words(seed=0, manners=1)
    train, heldout = ([word.audio for word in part] for part in (speech.train, speech.heldout))
    return (train, [word.word for word in speech.train]), (heldout, [word.word for word in speech.heldout])


@pytest.fixture(scope="session")
def digit_judge(real_digits: tuple[Pictures, Pictures]) -> DigitJudge:
    """Fitted to the training pictures."""
    return DigitJudge.fit(*real_digits[0])


@pytest.fixture(scope="session")
def speech_judge(real_speech: tuple[Clips, Clips]) -> SpeechJudge:
    """Fitted to the training clips."""
    return SpeechJudge.fit(*real_speech[0])


@pytest.fixture(scope="session")
def sphinx_judge(speech_judge: SpeechJudge) -> SphinxJudge:
    """Listens for the same words."""
    pytest.importorskip("pocketsphinx")
    return SphinxJudge(speech_judge.words)
