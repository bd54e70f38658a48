"""Both judges of speech understand real words, and don't mind silence, level, sample rate or order."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from omni.evaluation.judges.clips import LEVEL, tight_clip
from omni.evaluation.judges.pocketsphinx import SphinxJudge
from omni.evaluation.judges.speech import SpeechJudge
from omni.evaluation.judges.verdict import NOTHING, Verdict
from omni.media import resample
from omni.sequence import Audio
from tests.evaluation.real import Clips


def share(verdicts: Sequence[Verdict], words: Sequence[str]) -> float:
    return float(np.mean([verdict.answer == word for verdict, word in zip(verdicts, words, strict=True)]))


def quiet_and_padded(clip: Audio) -> Audio:
    return Audio(np.pad(clip.waveform * np.float32(0.03), (3000, 5000)), clip.sample_rate)


def noisy(clip: Audio) -> Audio:
    level = float(np.sqrt(np.square(clip.waveform).mean()))
    noise = np.random.default_rng(0).normal(0, 0.1 * level, len(clip.waveform))
    return Audio(clip.waveform + noise.astype(np.float32), clip.sample_rate)


def at_16_khz(clip: Audio) -> Audio:
    return Audio(resample(clip.waveform, clip.sample_rate, 16_000), 16_000)


def test_understands_heldout_speakers(speech_judge: SpeechJudge, real_speech: tuple[Clips, Clips]) -> None:
    clips, words = real_speech[1]
    assert share(speech_judge.judge(clips), words) >= 0.97


@pytest.mark.parametrize("change", [quiet_and_padded, noisy, at_16_khz])
def test_recording_conditions_hardly_matter(
    speech_judge: SpeechJudge, real_speech: tuple[Clips, Clips], change: Callable[[Audio], Audio]
) -> None:
    clips, words = real_speech[1]
    assert share(speech_judge.judge([change(clip) for clip in clips]), words) >= 0.94


def test_the_outside_judge_understands_most(
    sphinx_judge: SphinxJudge, real_speech: tuple[Clips, Clips]
) -> None:
    clips, words = real_speech[1]
    assert share(sphinx_judge.judge(clips), words) >= 0.7


def test_verdicts_depend_on_no_other_clip(
    speech_judge: SpeechJudge, sphinx_judge: SphinxJudge, real_speech: tuple[Clips, Clips]
) -> None:
    clips = real_speech[1][0][:30]
    for judge in (speech_judge, sphinx_judge):
        together = [verdict.answer for verdict in judge.judge(clips)]
        assert [judge.judge([clip])[0].answer for clip in reversed(clips)] == together[::-1]
        assert judge.judge([]) == []


SILENT = [
    np.zeros(8000, dtype=np.float32),
    np.full(8000, 0.5, dtype=np.float32),  # no sound in a constant
    np.full(8000, np.nan, dtype=np.float32),
    np.ones(100, dtype=np.float32),
    np.zeros(0, dtype=np.float32),
]


def test_nothing_to_hear_is_no_word(
    speech_judge: SpeechJudge, sphinx_judge: SphinxJudge, real_speech: tuple[Clips, Clips]
) -> None:
    spoken = real_speech[0][0][0]
    clips = [*(Audio(waveform, 8000) for waveform in SILENT), spoken]
    for judge in (speech_judge, sphinx_judge):
        verdicts = judge.judge(clips)
        assert verdicts[:-1] == [NOTHING] * len(SILENT)
        assert verdicts[-1] == judge.judge([spoken])[0]
    assert speech_judge.judge(clips[:-1]) == [NOTHING] * len(SILENT)


def test_silence_is_cut_and_the_level_set() -> None:
    tone = np.sin(np.arange(4000) * 0.5).astype(np.float32)
    tight = tight_clip(np.pad(tone * np.float32(0.01), (2000, 3000)), 8000)
    assert tight is not None
    assert len(tight) == 4000 + 4 * 80  # two frames of margin on either side
    assert np.sqrt(np.square(tight).mean()) == pytest.approx(LEVEL)


def test_saved_and_loaded_it_says_the_same(
    speech_judge: SpeechJudge, real_speech: tuple[Clips, Clips], tmp_path: Path
) -> None:
    speech_judge.save(tmp_path)
    loaded = SpeechJudge.load(tmp_path)
    assert loaded.words == speech_judge.words
    assert loaded.judge(real_speech[1][0]) == speech_judge.judge(real_speech[1][0])
    with pytest.raises(ValueError, match=r"speech_judge\.npz: no saved judge here"):
        SpeechJudge.load(tmp_path / "elsewhere")


def test_equal_seeds_make_equal_judges(real_speech: tuple[Clips, Clips]) -> None:
    (clips, words), (heldout, _) = real_speech
    first, second = (SpeechJudge.fit(clips[::7], words[::7], seed=3) for _ in range(2))
    assert first.judge(heldout) == second.judge(heldout)


def test_bad_training_data_is_refused() -> None:
    silence = Audio(np.zeros(8000, dtype=np.float32), 8000)
    with pytest.raises(ValueError, match=r"recording 0 \('one'\) is silent"):
        SpeechJudge.fit([silence], ["one"])
    with pytest.raises(ValueError, match="2 recordings but 1 words"):
        SpeechJudge.fit([silence, silence], ["one"])


def test_words_that_the_outside_judge_does_not_know_are_named(sphinx_judge: SphinxJudge) -> None:
    with pytest.raises(ValueError, match=r"\['qqzz'\] of \['one', 'qqzz'\] not in its English dictionary"):
        SphinxJudge(["one", "qqzz"])


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    with pytest.raises(ImportError, match=r"pip install -e '.\[demo\]'"):
        SphinxJudge(["one"])
