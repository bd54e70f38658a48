"""Rewards that compare: with the label as text, and with what a judge reads, sees or hears in the answer."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence as Seq
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from omni.evaluation.judges.digits import DigitJudge
from omni.evaluation.judges.pocketsphinx import SphinxJudge
from omni.evaluation.judges.speech import SpeechJudge
from omni.evaluation.judges.text import TextReader
from omni.evaluation.judges.verdict import Verdict
from omni.evaluation.metrics.text import normalised
from omni.modality import AUDIO, IMAGE, TEXT, Modality
from omni.sequence import Document, Segment, Text
from omni.training.rewards.protocol import label_of, part_of


@runtime_checkable
class Judge(Protocol):
    """Says what answers of its modality show or say."""

    def judge(self, answers: Seq[Any], /) -> list[Verdict]:
        """A verdict for each."""
        ...


class ExactMatch:
    """1 where the answer's text is the label, up to case and white space; else 0, for pictures and clips as well."""

    def __call__(self, prompt: Document, answer: Seq[Segment], modality: Modality) -> float:
        """See ``Reward``."""
        said = "".join(segment.text for segment in answer if isinstance(segment, Text))
        return float(modality is TEXT and normalised(said) == normalised(label_of(prompt)))


class JudgeReward:
    """1 where the judge of the modality that was asked for finds the label in the answer, else 0."""

    def __init__(self, judges: Mapping[Modality, Judge]) -> None:
        """
        Args:
            judges: by modality; text is read by ``TextReader`` unless there is another.
        """
        self.judges: dict[Modality, Judge] = {TEXT: TextReader(), **judges}

    @classmethod
    def classifiers(cls, folder: Path | str) -> JudgeReward:
        """The judges that ``omni demo`` leaves in ``FOLDER/judges``, for pictures of digits and spoken words.

        Raises:
            ValueError: there are no judges in this folder.
        """
        return cls({IMAGE: DigitJudge.load(folder), AUDIO: SpeechJudge.load(folder)})

    @classmethod
    def grammar(cls, words: Seq[str]) -> JudgeReward:
        """PocketSphinx with a grammar of these words hears clips.

        Raises:
            ImportError: PocketSphinx isn't installed.
            ValueError: a word isn't in its dictionary.
        """
        return cls({AUDIO: SphinxJudge(words)})

    def __call__(self, prompt: Document, answer: Seq[Segment], modality: Modality) -> float:
        """See ``Reward``.

        Raises:
            ValueError: no judge for this modality, or a prompt without a label.
        """
        if modality not in self.judges:
            raise ValueError(
                f"{prompt.where}: no judge of {modality.name}, only of {[m.name for m in self.judges]}; leave "
                f"such prompts out, or add a judge"
            )
        label, part = label_of(prompt), part_of(answer, modality)
        if part is None:
            return 0.0
        (verdict,) = self.judges[modality].judge([part])
        return float(verdict.answer is not None and normalised(verdict.answer) == normalised(label))
