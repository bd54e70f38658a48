"""Cleaning of clips, the synthetic voices, and what becomes of a folder of recordings."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from omni.datamodules.demo import espeak
from omni.datamodules.demo.corpus import DemoCorpus
from omni.datamodules.demo.espeak import Utterance, speak
from omni.datamodules.demo.recorded import recorded_words
from omni.datamodules.demo.speech import DIGIT_WORDS, SAMPLE_RATE, cleaned
from omni.datamodules.demo.synthetic import ACCENTS, VARIANTS, heldout_variants
from omni.media import MediaError


def tone(seconds: float, rate: int = SAMPLE_RATE, level: float = 0.2) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def test_cleaning_cuts_the_silence_and_sets_the_peak() -> None:
    silence = np.zeros(2 * 16_000, dtype=np.float32)
    clip = cleaned(np.concatenate([silence, tone(0.5, 16_000), silence]), 16_000)
    assert clip.sample_rate == 8_000
    assert clip.seconds == pytest.approx(0.5 + 2 * 0.03, abs=0.02)  # with the margin on either side
    assert np.abs(clip.waveform).max() == pytest.approx(0.7)
    assert clip.waveform.dtype == np.float32


def test_silence_and_speeches_are_no_spoken_digits() -> None:
    with pytest.raises(MediaError, match="all 800 samples are silent"):
        cleaned(np.zeros(800, dtype=np.float32), SAMPLE_RATE)
    with pytest.raises(MediaError, match=r"4\.0 s of sound, at most 3\.0 s"):
        cleaned(tone(4), SAMPLE_RATE)


def test_equal_utterances_give_equal_speech() -> None:
    said = [Utterance(word, "en-us+f2") for word in ("three", "six")]
    first, second = speak(said), speak(said)
    assert [len(clip) for clip in first] == [len(clip) for clip in second]
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_unknown_voice_is_named() -> None:
    with pytest.raises(RuntimeError, match="no voice 'en-atlantis'"):
        speak([Utterance("one", "en-atlantis")])


def test_a_missing_synthesiser_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(ImportError, match=r"pip install -e '.\[demo\]'"):
        espeak.speak([Utterance("one", "en-us")])


def test_every_voice_says_every_word_in_its_own_way(corpus: DemoCorpus) -> None:
    words = corpus.words_train + corpus.words_heldout
    assert len(words) == len(ACCENTS) * len(VARIANTS) * len(DIGIT_WORDS) == 520
    assert len({word.audio.waveform.tobytes() for word in words}) == len(words)
    assert all(0.15 < word.audio.seconds < 1 for word in words)


def test_whole_voices_are_held_out(corpus: DemoCorpus) -> None:
    heldout = {word.voice.split("+")[1] for word in corpus.words_heldout}
    assert heldout == heldout_variants(0)
    assert len(heldout) == 5
    assert heldout.isdisjoint(word.voice.split("+")[1] for word in corpus.words_train)
    assert heldout_variants(1) != heldout_variants(0)


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Takes 4 and 5 of each digit by one speaker: the last held-out take and the first for training."""
    for digit in range(10):
        for take in (4, 5):
            soundfile.write(tmp_path / f"{digit}_ann_{take}.wav", tone(0.3 + 0.01 * digit), SAMPLE_RATE)
    return tmp_path


def test_recordings_are_split_by_take(recordings: Path) -> None:
    split = recorded_words(recordings)
    assert [(w.word, w.voice, w.take) for w in split.train] == [(word, "ann", "5") for word in DIGIT_WORDS]
    assert [(w.word, w.voice, w.take) for w in split.heldout] == [(word, "ann", "4") for word in DIGIT_WORDS]
    assert [w.digit for w in split.train] == list(range(10))
    assert split.skipped == {}


def test_recordings_of_any_format_are_converted(recordings: Path) -> None:
    stereo = np.stack([tone(0.4, 44_100), tone(0.4, 44_100)], axis=1)
    soundfile.write(recordings / "3_bob_le_grand_9.wav", stereo, 44_100, subtype="FLOAT")
    (word,) = [word for word in recorded_words(recordings).train if word.voice == "bob_le_grand"]
    assert (word.word, word.take, word.audio.sample_rate) == ("three", "9", 8_000)
    assert word.audio.seconds == pytest.approx(0.4, abs=0.03)


def test_files_that_cannot_be_used_are_counted_with_their_reason(recordings: Path) -> None:
    (recordings / "1_ann_7.wav").write_bytes(b"RIFF but nothing more")
    soundfile.write(recordings / "2_ann_7.wav", np.zeros(0), SAMPLE_RATE)
    soundfile.write(recordings / "3_ann_7.wav", np.full(800, np.nan), SAMPLE_RATE, subtype="FLOAT")
    soundfile.write(recordings / "4_ann_7.wav", np.zeros(800), SAMPLE_RATE)
    soundfile.write(recordings / "ten_ann_7.wav", tone(0.3), SAMPLE_RATE)
    soundfile.write(recordings / "seven.wav", tone(0.3), SAMPLE_RATE)
    (recordings / "README.md").write_text("no recording, and none of our business")

    split = recorded_words(recordings)
    assert len(split.train) == len(split.heldout) == 10
    reasons = {
        "1_ann_7.wav": "no sound file",
        "2_ann_7.wav": "zero-length audio",
        "3_ann_7.wav": "800 of 800 samples are NaN",
        "4_ann_7.wav": "all 800 samples are silent",
        "seven.wav": "the name isn't {digit}_{speaker}_{take}.wav",
        "ten_ann_7.wav": "the name isn't {digit}_{speaker}_{take}.wav",
    }
    assert sorted(split.skipped) == sorted(reasons)
    for name, reason in reasons.items():
        assert reason in split.skipped[name] and name in split.skipped[name]


def test_a_folder_without_recordings_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "hello.wav").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"no recordings named \{digit\}_\{speaker\}_\{take\}\.wav.*1 \.wav files"
    ):
        recorded_words(tmp_path)
    with pytest.raises(ValueError, match="no such folder"):
        recorded_words(tmp_path / "nowhere")


def test_every_digit_needs_training_and_heldout_recordings(recordings: Path) -> None:
    (recordings / "0_ann_4.wav").unlink()
    (recordings / "7_ann_4.wav").unlink()
    with pytest.raises(ValueError, match="no held-out clip of zero, seven among 8 clips"):
        recorded_words(recordings)


def test_progress_counts_every_clip(recordings: Path) -> None:
    calls = Counter[tuple[int, int]]()
    recorded_words(recordings, progress=lambda done, total: calls.update([(done, total)]))
    assert calls == Counter((done, 20) for done in range(1, 21))
