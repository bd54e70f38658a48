"""The judges of an evaluation, and how an answer is put before them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from omni.evaluation.judges.digits import DigitJudge
from omni.evaluation.judges.pocketsphinx import SphinxJudge
from omni.evaluation.judges.speech import SpeechJudge
from omni.evaluation.judges.text import TextReader
from omni.evaluation.judges.verdict import NOTHING, Verdict
from omni.evaluation.metrics.diversity import PictureYardstick
from omni.evaluation.metrics.text import UnigramBaseline, normalised
from omni.evaluation.tasks import JudgeName
from omni.sequence import Audio, Document, Image, Segment, Text

_JUDGES_WHAT: dict[JudgeName, type[Segment]] = {
    "exact": Text,
    "digits": Image,
    "speech": Audio,
    "sphinx": Audio,
}


@dataclass(frozen=True, kw_only=True)
class Judges:
    """Everything that answers are measured by. A figure whose judge is missing is left out."""

    exact: TextReader = field(default=TextReader(), init=False)
    digits: DigitJudge | None = None
    speech: SpeechJudge | None = None
    sphinx: SphinxJudge | None = None
    pictures: PictureYardstick | None = None
    """Real pictures, for the diversity of generated ones."""
    unigram: UnigramBaseline | None = None
    """Fitted to the token ids of training text, for the perplexity to beat."""

    def expected(self, judge: JudgeName, document: Document, reference: Sequence[Segment]) -> str | None:
        """What ``judge`` says of a right answer; ``None`` if the label isn't a word that it knows."""
        if judge == "exact":
            return normalised("".join(s.text for s in reference if isinstance(s, Text) and s.loss))
        member: DigitJudge | SpeechJudge | SphinxJudge = getattr(self, judge)
        return document.label if document.label in member.words else None

    def verdicts(self, judge: JudgeName, answers: Sequence[Segment | None]) -> list[Verdict]:
        """What ``judge`` says of each answer; ``NOTHING`` of one that isn't of its modality."""
        fitting = [isinstance(answer, _JUDGES_WHAT[judge]) for answer in answers]
        said = iter(getattr(self, judge).judge([a for a, fits in zip(answers, fitting, strict=True) if fits]))
        return [next(said) if fits else NOTHING for fits in fitting]
