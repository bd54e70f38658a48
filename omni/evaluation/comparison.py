"""Answers compared with the documents' own, without judges: text by words and letters, sound by spectra."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import numpy as np

from omni.evaluation.metrics.audio import log_spectral_distance
from omni.evaluation.metrics.tally import MetricName, Tally
from omni.evaluation.metrics.text import normalised
from omni.media import resample
from omni.sequence import Audio, Segment, Text

NGRAM = 4
"""Words that BLEU looks at together: it is left out where no reference has as many."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a model answered to a document, and what it should have."""

    number: int
    """Of the document in the whole evaluation."""
    source: str
    reference: Seq[Segment]
    """The document's own answer."""
    answer: Segment | None


def answer_tallies(answers: Iterable[Answer]) -> list[Tally]:
    """The figures of the answers of each source.

    Of text: ``SOURCE_exact`` (share), ``SOURCE_wer`` and ``SOURCE_cer`` (word and character error rate, 0 is best),
    ``SOURCE_chrf`` (chrF++, Popović 2017) and, of references of four words or more,
    ``SOURCE_bleu`` (Papineni et al. 2002). Case and white space don't count. Of sound: ``SOURCE_answered`` (share)
    and ``SOURCE_log_spectral_distance_db`` of these answers, the shorter clip followed by silence; of silent
    references there is no distance.
    """
    texts: dict[str, dict[int, tuple[str, str]]] = {}
    sounds: dict[str, dict[int, tuple[float, int]]] = {}
    answered: dict[str, dict[int, tuple[bool]]] = {}
    for one in answers:
        learnt = [segment for segment in one.reference if segment.loss]
        if all(isinstance(segment, Text) for segment in learnt):
            said = one.answer.text if isinstance(one.answer, Text) else ""
            wanted = "".join(segment.text for segment in learnt if isinstance(segment, Text))
            texts.setdefault(one.source, {})[one.number] = (normalised(said), normalised(wanted))
        clips = [segment for segment in learnt if isinstance(segment, Audio)]
        if clips:
            answered.setdefault(one.source, {})[one.number] = (isinstance(one.answer, Audio),)
            if isinstance(one.answer, Audio) and clips[0].waveform.any():
                sounds.setdefault(one.source, {})[one.number] = (_distance(clips[0], one.answer), 1)
    found = [tally for source, pairs in texts.items() for tally in _of_texts(source, pairs)]
    found += [Tally.of(f"{source}_answered", "share", marks) for source, marks in answered.items()]
    return found + [Tally.of(f"{s}_log_spectral_distance_db", "mean", pairs) for s, pairs in sounds.items()]


def _of_texts(source: str, pairs: dict[int, tuple[str, str]]) -> list[Tally]:
    names: list[MetricName] = ["wer", "cer", "chrf"]
    if any(len(wanted.split()) >= NGRAM for _, wanted in pairs.values()):
        names.append("bleu")
    right: dict[int, tuple[Any, ...]] = {
        number: (said == wanted,) for number, (said, wanted) in pairs.items()
    }
    return [
        Tally.of(f"{source}_exact", "share", right),
        *(Tally.of(f"{source}_{name}", name, pairs) for name in names),
    ]


def _distance(reference: Audio, answer: Audio) -> float:
    rate = reference.sample_rate
    said_W = resample(answer.waveform, answer.sample_rate, rate)
    length = max(len(reference.waveform), len(said_W))
    original_W, copy_W = (np.pad(w, (0, length - len(w))) for w in (reference.waveform, said_W))
    return log_spectral_distance(original_W, copy_W, rate)
