"""A web page as a document: texts and pictures in their places, and what happens when a picture is missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from omni.datamodules.importers.rows import Row, unicode_text
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.damage import DocumentError
from omni.media import MediaError
from omni.sequence import Document, Image, Segment, Text

MissingPictures = Literal["page", "picture"]
MISSING: tuple[MissingPictures, ...] = ("page", "picture")
Page = list[str | Callable[[], bytes]]
"""Texts, and functions that give the content of a picture's file."""


def page_document(
    page: Page, key: str, source: str, row: Row[Any], aside: Quarantine, missing: MissingPictures
) -> Document:
    """The page as running content; empty texts are left out.

    Args:
        page: texts and pictures in order.
        key: of the document.
        source: of the document.
        row: where the page stands, for messages.
        aside: takes pictures that can't be used, where they alone are left out.
        missing: whether the whole page or only the picture is set aside then.

    Raises:
        DocumentError, MediaError: nothing is left of the page, a text is none, or a picture can't be used.
    """
    segments: list[Segment] = []
    number = 0
    for part in page:
        if callable(part):
            number += 1
            try:
                segments.append(Image.open(part()))
            except (DocumentError, MediaError) as error:
                if missing == "page":
                    raise
                place = f"{row.place}, picture {number}"
                aside.add(str(row.file), place, DocumentError(f"{row.file}:{place}: {error}"))
        elif unicode_text(part, "text").strip():
            segments.append(Text(part))
    if not segments:
        raise DocumentError("an empty page: no text, and no picture that can be used")
    return Document(tuple(segments), key=key, source=source)
