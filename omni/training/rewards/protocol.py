"""What a policy is rewarded for: one function of the prompt, the decoded answer and the modality asked for.

Yours is a function or an object with ``__call__``; nothing has to be registered::

    class Brevity:
        \"\"\"Short texts are good, and whatever isn't text is as good as another.\"\"\"

        def __call__(self, prompt: Document, answer: Seq[Segment], modality: Modality) -> float:
            if modality is not TEXT:
                return 0.0
            words = sum(len(s.text.split()) for s in answer if isinstance(s, Text))
            return 1.0 / (1 + words)

Answers are pictures, waveforms and text, as a user gets them, and never ids: what the tokenizers lose is not rewarded.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from typing import Protocol, runtime_checkable

from omni.modality import Modality
from omni.sequence import Document, Segment


@runtime_checkable
class Reward(Protocol):
    """Says how good an answer is."""

    def __call__(self, prompt: Document, answer: Seq[Segment], modality: Modality, /) -> float:
        """
        Args:
            prompt: what was asked, with ``label`` and ``source`` where they are known.
            answer: the decoded answer.
            modality: of the answer that was asked for.
        """
        ...


def part_of(answer: Seq[Segment], modality: Modality) -> Segment | None:
    """The last part of an answer that is of this modality; none where there isn't one."""
    return next((segment for segment in reversed(answer) if segment.modality is modality), None)


def label_of(prompt: Document) -> str:
    """What a judge should find in the answer.

    Raises:
        ValueError: the prompt doesn't say; the message names it.
    """
    if prompt.label is None:
        raise ValueError(
            f"{prompt.where}: no label, so a reward that compares can't be given; labels are in `label`"
        )
    return prompt.label
