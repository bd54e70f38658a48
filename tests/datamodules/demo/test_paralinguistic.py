"""Who speaks and how, and how a digit is written: measures on made-up signals, and tasks that words don't answer."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
from jaxtyping import UInt8

from omni.datamodules.demo.corpus import DemoCorpus
from omni.datamodules.demo.hand import slant, thickness
from omni.datamodules.demo.paralinguistic import SOURCES, ParalinguisticTasks, speakers
from omni.datamodules.demo.size import HELDOUT_SIZE, TRAIN_SIZE
from omni.datamodules.demo.speech import DIGIT_WORDS, SpeechSplit, SpokenWord
from omni.datamodules.demo.task import Task
from omni.datamodules.demo.voice import at_level, level_db, pitch_range, pitch_track
from omni.sequence import Audio, Image, Text

RATE = 8_000


def voiced(hertz: np.ndarray) -> Audio:
    """A harmonic tone whose pitch follows ``hertz``, one value a sample."""
    phase = 2 * np.pi * np.cumsum(hertz) / RATE
    wave = np.sum([np.sin(k * phase) / k for k in range(1, 6)], axis=0)
    return Audio((0.3 * wave).astype(np.float32), RATE)


@pytest.mark.parametrize("hertz", [90, 150, 240])
def test_the_pitch_of_a_tone_is_found(hertz: int) -> None:
    track = pitch_track(voiced(np.full(4000, float(hertz))).waveform, RATE)
    assert np.median(track) == pytest.approx(hertz, rel=0.03)
    assert len(track) > 20


def test_the_pitch_range_of_a_glide_is_its_middle_eighty_percent() -> None:
    """An octave in equal steps of time: from the 10th to the 90th percentile 0.8 of 12 semitones."""
    glide = voiced(110 * 2 ** np.linspace(0, 1, 8000))
    assert pitch_range(glide) == pytest.approx(0.8 * 12, abs=1.5)
    assert pitch_range(voiced(np.full(8000, 120.0))) == pytest.approx(0, abs=0.3)


def test_noise_has_no_pitch_range() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    assert pitch_range(Audio(noise, RATE)) is None
    assert pitch_range(Audio(noise[:100], RATE)) is None


def test_a_clip_comes_at_the_level_asked_for_but_is_never_cut_off() -> None:
    tone = voiced(np.full(4000, 120.0))
    assert level_db(at_level(tone, -35.0)) == pytest.approx(-35, abs=0.1)
    assert np.abs(at_level(tone, 10.0).waveform).max() <= 1


def stroke(lean: float, width: float) -> UInt8[np.ndarray, "16 16 3"]:
    """An upright bar that leans ``lean`` columns a row upwards."""
    row, column = np.mgrid[:16, :16]
    ink = np.clip(width - np.abs(column - 7.5 + lean * (row - 7.5)), 0, 1) * (np.abs(row - 7.5) < 6)
    return np.repeat((255 * ink).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("lean", [-0.4, 0.0, 0.3])
def test_the_slant_of_a_leaning_bar_is_found(lean: float) -> None:
    assert slant(stroke(lean, 1.5)) == pytest.approx(lean, abs=0.03)


def test_a_wider_bar_is_thicker_wherever_it_leans() -> None:
    assert thickness(stroke(0.2, 2.5)) > 1.3 * thickness(stroke(-0.3, 1.5))


def made(corpus: DemoCorpus, part: str, source: str, count: int) -> list[Task]:
    tasks = ParalinguisticTasks(corpus.speech, corpus.digits, corpus.shown, part, np.random.default_rng(0))  # type: ignore[arg-type]
    found: list[Task] = getattr(tasks, source)(count)
    return found


def test_the_demo_has_none_of_these_tasks(corpus: DemoCorpus) -> None:
    for size in (TRAIN_SIZE, HELDOUT_SIZE):
        assert [size.counts()[source] for source in SOURCES] == [0, 0, 0]
    assert not {document.source for document in (*corpus.train(), *corpus.heldout())} & set(SOURCES)


@pytest.mark.parametrize("source", SOURCES)
def test_answers_of_a_question_come_equally_often_and_what_is_said_tells_nothing(
    corpus: DemoCorpus, source: str
) -> None:
    for part in ("train", "heldout"):
        tasks = made(corpus, part, source, 240)
        by_question: dict[str, Counter[str]] = {}
        for task in tasks:
            medium, question, answer = task.segments
            assert isinstance(medium, Image if source == "writing" else Audio)
            assert isinstance(question, Text)
            assert isinstance(answer, Text)
            assert (answer.text, answer.loss, question.loss) == (task.label, True, False)
            by_question.setdefault(question.text, Counter())[answer.text] += 1
        for answers in by_question.values():
            assert max(answers.values()) - min(answers.values()) <= 1


def test_every_word_is_among_the_fast_and_among_the_slow(corpus: DemoCorpus) -> None:
    word_of = {word.audio.waveform.tobytes(): word.word for word in corpus.words_train}
    said: dict[str, set[str]] = {}
    for task in made(corpus, "train", "manner", 900):
        if task.label in ("fast", "slow"):
            clip = task.segments[0]
            assert isinstance(clip, Audio)
            said.setdefault(task.label, set()).add(word_of[clip.waveform.tobytes()])
    assert said == {"fast": set(DIGIT_WORDS), "slow": set(DIGIT_WORDS)}


def test_loud_and_quiet_clips_are_apart_whatever_is_said(corpus: DemoCorpus) -> None:
    levels: dict[str, list[float]] = {"loud": [], "quiet": []}
    for task in made(corpus, "heldout", "manner", 300):
        if task.label in levels:
            clip = task.segments[0]
            assert isinstance(clip, Audio)
            levels[task.label].append(level_db(clip))
    assert max(levels["quiet"]) + 3 < min(levels["loud"])


def clip(word: str, voice: str, take: str) -> SpokenWord:
    return SpokenWord(word, voice, take, Audio(np.full(800, 0.1, np.float32), RATE))


def test_synthetic_speakers_are_asked_for_by_digits_that_they_are_not_learnt_by(corpus: DemoCorpus) -> None:
    train, heldout = speakers(corpus.speech)
    assert list(train) == list(heldout)
    for name in train:
        learnt, asked = ({one.word for one in part[name]} for part in (train, heldout))
        assert len(asked) == 2
        assert learnt | asked == set(DIGIT_WORDS)
        assert not learnt & asked


def test_recorded_speakers_are_asked_for_by_other_takes() -> None:
    takes = {"train": ("5", "6"), "heldout": ("0",)}
    split = {
        part: tuple(clip(w, v, t) for w, v, t in product(DIGIT_WORDS, ("theo", "lucas"), found))
        for part, found in takes.items()
    }
    train, heldout = speakers(SpeechSplit(split["train"], split["heldout"], origin="here"))
    assert sorted(train) == sorted(heldout) == ["lucas", "theo"]
    assert {one.take for one in heldout["theo"]} == {"0"}
    assert {one.take for one in train["theo"]} == {"5", "6"}
