"""The page of ``omni shards show --html``: documents with their media, their positions, and how they are packed."""

from __future__ import annotations

import base64
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from importlib import resources
from itertools import groupby, islice
from typing import TYPE_CHECKING

import jinja2

from omni.media import encode_flac, encode_png
from omni.modality import MODALITIES
from omni.sequence import Audio, Image, Segment, Text

if TYPE_CHECKING:
    from omni.datamodules.shards.positions import Position, Positions
    from omni.datamodules.shards.show import Shown

SHOWN_POSITIONS = 1_000
"""Of each document."""
SHOWN_TEXT = 4_000
"""Characters of each text."""
SHOWN_PIXELS = 32
"""Sides up to which a picture is enlarged, its pixels as squares."""
KINDS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"fLaC", "audio/flac"),
    (b"OggS", "audio/ogg"),
    (b"ID3", "audio/mpeg"),
)
"""How files begin that browsers show as they are, as ``omni.media`` reads them."""


@dataclass(frozen=True)
class SegmentView:
    """A segment of a document."""

    modality: str
    role: str
    loss: bool
    text: str = ""
    cut: int = 0
    """Characters that are not shown."""
    uri: str = ""
    size: str = ""
    small: bool = False
    width: int = 0


@dataclass(frozen=True)
class Run:
    """Neighbouring positions of one modality."""

    modality: str
    positions: list[tuple[int, Position]]


@dataclass(frozen=True)
class DocumentView:
    """A document, or what is wrong with it."""

    key: str
    place: str
    source: str = ""
    label: str | None = None
    segments: Seq[SegmentView] = ()
    positions: Positions | None = None
    runs: Seq[Run] = ()
    hidden: int = 0
    """Positions that are not shown."""
    error: str = ""


@dataclass(frozen=True)
class PieceView:
    """A document in a row."""

    key: str
    source: str
    length: int
    share: float
    """Of the row, in percent."""
    shares: Seq[tuple[str, float]]
    """Of the piece in percent, by modality."""


@dataclass(frozen=True)
class RowView:
    """A row of packed documents."""

    pieces: Seq[PieceView]
    fill: float


@dataclass(frozen=True)
class PackingView:
    """The first rows of a plan."""

    row_length: int
    rows: Seq[RowView]
    note: str
    """Which documents are packed, and what is left out."""


def render_page(
    title: str, documents: Seq[DocumentView], total: int, packing: PackingView | None, why_not: str
) -> str:
    """The page.

    Args:
        title: the folder.
        documents: what is shown.
        total: documents of the folder.
        packing: the first rows.
        why_not: what is said in place of positions and rows where these are missing.
    """
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = resources.files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        title=title,
        documents=documents,
        total=total,
        packing=packing,
        why_not=why_not,
        modalities=[modality.name for modality in MODALITIES],
    )


def document_view(shown: Shown, positions: Positions | None) -> DocumentView:
    """A document as the template takes it."""
    document = shown.document
    runs: list[Run] = []
    if positions is not None:
        numbered = islice(enumerate(positions.each), SHOWN_POSITIONS)
        runs = [Run(name, list(run)) for name, run in groupby(numbered, key=lambda one: one[1].modality)]
    return DocumentView(
        key=document.key,
        place=document.where,
        source=document.source,
        label=document.label,
        segments=[
            _segment_view(segment, file) for segment, file in zip(document.segments, shown.files, strict=True)
        ],
        positions=positions,
        runs=runs,
        hidden=max(0, len(positions) - SHOWN_POSITIONS) if positions is not None else 0,
    )


def _segment_view(segment: Segment, file: bytes | None) -> SegmentView:
    from omni.datamodules.shards.show import media_size

    role, name = segment.role or "no role", segment.modality.name
    if isinstance(segment, Text):
        cut = max(0, len(segment.text) - SHOWN_TEXT)
        return SegmentView(name, role, segment.loss, text=segment.text[:SHOWN_TEXT], cut=cut)
    small, width = False, 0
    if isinstance(segment, Image):
        height, width = segment.pixels.shape[:2]
        small = max(height, width) <= SHOWN_PIXELS
    uri = media_uri(segment, file)
    return SegmentView(name, role, segment.loss, uri=uri, size=media_size(segment), small=small, width=width)


def media_uri(media: Image | Audio, file: bytes | None) -> str:
    """The file as an address that holds it; one that browsers don't know is made PNG or FLAC."""
    kind = next((kind for start, kind in KINDS if file is not None and file.startswith(start)), None)
    if file is not None and file[:4] == b"RIFF":
        kind = {b"WAVE": "audio/wav", b"WEBP": "image/webp"}.get(file[8:12])
    if file is None or kind is None:
        if isinstance(media, Image):
            file, kind = encode_png(media.pixels), "image/png"
        else:
            file, kind = encode_flac(media.waveform, media.sample_rate), "audio/flac"
    return f"data:{kind};base64,{base64.b64encode(file).decode('ascii')}"
