"""Answers against references: which figures there are, and what they say."""

from __future__ import annotations

import numpy as np
import pytest

from omni.evaluation.comparison import Answer, answer_tallies
from omni.sequence import Audio, Segment, Text
from tests.tiny import SAMPLE_RATE, tone


def figures(*pairs: tuple[Segment, Segment | None], source: str = "task") -> dict[str, float]:
    answers = [Answer(n, source, (reference,), said) for n, (reference, said) in enumerate(pairs)]
    return {tally.name: tally.value for tally in answer_tallies(answers)}


def test_short_answers_have_no_bleu() -> None:
    found = figures((Text("seven"), Text(" Seven")), (Text("eight"), Text("ate")), (Text("nine"), None))
    assert set(found) == {"task_exact", "task_wer", "task_cer", "task_chrf"}
    assert found["task_exact"] == pytest.approx(1 / 3)
    assert found["task_wer"] == pytest.approx(2 / 3)
    assert found["task_cer"] == pytest.approx((0 + 5 + 4) / 14)  # letters of seven, eight, nine


def test_sentences_have_bleu() -> None:
    sentence = Text("a cat sat on the mat")
    assert figures((sentence, sentence))["task_bleu"] == 1
    assert figures((sentence, Text("no word of it")))["task_bleu"] == 0


def test_text_that_is_only_read_is_no_reference() -> None:
    answer = Answer(0, "task", (Text("the sum is "), Text("and so on", loss=False)), Text("the sum is"))
    assert {t.name: t.value for t in answer_tallies([answer])}["task_exact"] == 1


def test_sound_is_compared_by_its_spectrum() -> None:
    said = Audio(tone(3), SAMPLE_RATE)
    assert figures((said, said)) == {"task_answered": 1, "task_log_spectral_distance_db": 0}
    longer = Audio(np.concatenate([tone(3), tone(8)]), SAMPLE_RATE)
    other = Audio(tone(8), SAMPLE_RATE)
    for answer in (longer, other, Audio(np.zeros(10, np.float32), SAMPLE_RATE)):
        assert figures((said, answer))["task_log_spectral_distance_db"] > 1


def test_no_answer_is_not_a_silent_one() -> None:
    """Silence is nearer to a tone than another tone is, so it would be worth keeping quiet."""
    said = Audio(tone(3), SAMPLE_RATE)
    assert figures((said, None)) == {"task_answered": 0}
    assert figures((said, None), (said, said)) == {"task_answered": 0.5, "task_log_spectral_distance_db": 0}


def test_tasks_are_kept_apart() -> None:
    one = Answer(0, "a", (Text("x"),), Text("x"))
    two = Answer(1, "b", (Text("x"),), Text("y"))
    found = {tally.name: tally for tally in answer_tallies([one, two])}
    assert (found["a_exact"].value, found["b_exact"].value) == (1, 0)
    assert found["b_exact"].numbers.tolist() == [1]
