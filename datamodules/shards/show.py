"""Documents as lines of text, for people."""

from __future__ import annotations

from omni.sequence import Document, Image, Segment, Text

SHOWN_CHARACTERS = 200
"""Of each text."""


def document_lines(document: Document) -> list[str]:
    """Where the document is from, then a line for each segment; ``*`` marks those that the model learns."""
    label = f", label {document.label!r}" if document.label is not None else ""
    lines = [f"{document.where}: source {document.source!r}{label}"]
    for segment in document.segments:
        learned = "*" if segment.loss else " "
        lines.append(f"{learned} {segment.role or '-':9} {segment.modality.name:5} {_content(segment)}")
    return lines


def _content(segment: Segment) -> str:
    if isinstance(segment, Text):
        cut = "..." if len(segment.text) > SHOWN_CHARACTERS else ""
        return f"{segment.text[:SHOWN_CHARACTERS]!r}{cut} ({len(segment.text)} characters)"
    if isinstance(segment, Image):
        height, width = segment.pixels.shape[:2]
        return f"{width} x {height} pixels"
    return f"{segment.seconds:.2f} s at {segment.sample_rate} Hz"
