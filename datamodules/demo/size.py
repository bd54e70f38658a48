"""How many documents of each source the demo's corpus has."""

from __future__ import annotations

from dataclasses import dataclass, fields
from math import ceil


@dataclass(frozen=True, kw_only=True)
class CorpusSize:
    """Documents by source; of prose and code at most, since there are only so many passages."""

    image_to_text: int = 4500
    """A picture of a digit is read."""
    audio_to_text: int = 3000
    """A spoken digit is understood."""
    text_to_image: int = 2500
    """A digit is drawn."""
    text_to_audio: int = 2500
    """A digit is said."""
    image_to_audio: int = 3000
    """A picture of a digit is read aloud."""
    audio_to_image: int = 3500
    """A spoken digit is drawn."""
    reading: int = 5000
    """Several digits are read, each a picture, a clip or a word."""
    arithmetic: int = 2500
    """Numbers are added, each a picture, a clip or a word; held out, two digits."""
    sums: int = 40000
    """Numbers are added in words."""
    chart_to_text: int = 4500
    """The trend of a line chart is named."""
    image: int = 600
    """A picture of a digit without a prompt."""
    audio: int = 400
    """A spoken digit without a prompt."""
    prose: int = 200
    """English passages."""
    code: int = 60
    """Passages of Python code."""
    speaker: int = 0
    """A speaker is named; like the next two not part of the demo, but of studies (docs/ablations.md)."""
    manner: int = 0
    """A clip is called fast or slow, loud or quiet, lively or flat."""
    writing: int = 0
    """The writing of a digit is called thick or thin, or slanted to the left or right."""

    def __post_init__(self) -> None:
        for name, count in self.counts().items():
            if count < 0:
                raise ValueError(f"CorpusSize.{name} is {count}, expected 0 or more documents")

    def counts(self) -> dict[str, int]:
        """The number of documents by source."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def scaled(self, scale: float) -> CorpusSize:
        """Every number times ``scale``, rounded up."""
        return CorpusSize(**{name: ceil(count * scale) for name, count in self.counts().items()})


TRAIN_SIZE = CorpusSize()
HELDOUT_SIZE = CorpusSize(
    image_to_text=360,  # every held-out picture once
    audio_to_text=400,
    text_to_image=200,
    text_to_audio=200,
    image_to_audio=200,
    audio_to_image=200,
    reading=0,
    arithmetic=300,
    sums=0,
    chart_to_text=150,
    image=0,
    audio=0,
    prose=150,
    code=40,
)
