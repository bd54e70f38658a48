"""A picture or a clip with its text as a document, in one direction or both."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from omni.datamodules.importers.formats import BOTH, directions
from omni.datamodules.importers.rows import text_of
from omni.sequence import Audio, Document, Image, Segment, Text, turn_of


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """How a pair becomes a document.

    Without a prompt it is running content: what is given, then what follows from it, no roles, all of it
    learned. With a prompt it is a question and its answer, and the answer alone is learned.
    """

    source: str
    """Name of the data set; the documents' source is that and the direction."""
    direction: str = BOTH
    """``image-to-text``, ``text-to-image``, ``audio-to-text``, ``text-to-audio``; ``both`` takes one of the two
    for each document, by its key."""
    prompt_for_text: str | None = None
    """What the user says behind the picture or clip, to ask for its text."""
    prompt_for_media: str | None = None
    """What the user says before the text, to ask for its picture or clip."""

    def check(self, medium: str) -> None:
        """Raise ``ValueError`` where the direction is none of this medium."""
        if self.direction not in directions(medium):
            raise ValueError(
                f"direction {self.direction!r}: expected one of {', '.join(directions(medium))} for {medium}"
            )

    def document(self, key: str, media: Image | Audio, text: str, label: str | None = None) -> Document:
        """The pair as a document.

        Raises:
            DocumentError: the text is empty.
        """
        segments: tuple[Segment, ...]
        medium = media.modality.name
        self.check(medium)
        words = text_of(text, "text")
        if self._asks_for_text(medium, key):
            direction = f"{medium}_to_text"
            if self.prompt_for_text is None:
                segments = (media, Text(words))
            else:
                given = turn_of((media, Text(self.prompt_for_text)), "user", loss=False)
                segments = (*given, Text(words, role="assistant"))
        else:
            direction = f"text_to_{medium}"
            if self.prompt_for_media is None:
                segments = (Text(words), media)
            else:
                asked = Text(f"{self.prompt_for_media} {words}", role="user", loss=False)
                segments = (asked, *turn_of((media,), "assistant", loss=True))
        return Document(segments, key=key, source=f"{self.source}_{direction}", label=label)

    def _asks_for_text(self, medium: str, key: str) -> bool:
        if self.direction == BOTH:
            return zlib.crc32(key.encode()) % 2 == 0
        return self.direction == f"{medium}-to-text"
