"""Your own documents: JSONL, one document a line, with media files beside it.

A line has the fields of ``KEY.json`` (see ``omni.datamodules.shards.format``); only ``segments`` is needed::

    {"segments": [{"type": "image", "file": "cats/1.jpg"}, {"type": "text", "text": "A cat asleep."}]}

``file`` is a path relative to the JSONL file, of any picture or sound format that ``omni.media`` reads.
``id`` becomes the document's key; lines without one are numbered. Other fields of the line are ignored; those
of a segment are an error, because a slip of the pen there would change what is learned.

A line without ``segments`` but with ``text``, as corpora of running text are published, is a document of that
text; dots in its ``id`` become ``_``.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from omni.datamodules.importers.rows import (
    EVERYTHING,
    Progress,
    Row,
    Span,
    documents_from,
    json_lines,
    key_from,
    text_of,
)
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.format import FIELDS, VERSION, Media, document_from
from omni.datamodules.shards.writer import check_key
from omni.media import MediaError
from omni.modality import MODALITIES
from omni.sequence import Document, Text


def read_jsonl(
    source: Path, aside: Quarantine, progress: Progress, *, name: str, span: Span = EVERYTHING
) -> Iterator[Document]:
    """The documents of a JSONL file, in order.

    Args:
        source: the file.
        aside: takes the lines that can't be used; its limit is checked at the end.
        progress: is told the bytes of each line.
        name: source of the lines that name none.
        span: lines that are read.

    Raises:
        ValueError: no such file, or too many bad lines.
    """
    if not source.is_file():
        raise ValueError(f"{source}: no such file; expected a JSONL file, one document a line")
    lines = json_lines([source], progress, span)
    yield from documents_from(lines, partial(_document, name=name), aside, progress)


def _document(row: Row[dict[str, Any]], line: dict[str, Any], name: str) -> Document:
    head = {"version": VERSION, "source": name, **line}
    number = f"{int(row.place):08d}"
    if "segments" not in head and "text" in head:
        text, key = text_of(head["text"], "text"), key_from(str(head.get("id", number)))
        return Document((Text(text),), key=key, source=text_of(head["source"], "source"))
    key = str(head.get("id", number))
    try:
        check_key(key)
    except DocumentError as error:
        raise DocumentError(f"id: {error}; without an id, lines are numbered") from error
    entries = head.get("segments")
    for at, entry in enumerate(entries if isinstance(entries, list) else []):
        check_fields(entry, f"segments[{at}]")
    return document_from(head, "", media_beside(row.file), key=key)


def media_beside(file: Path) -> Media:
    """Finds media files by paths relative to the folder of ``file``."""

    def media(name: str) -> Path:
        path = file.parent / name
        if not path.is_file():
            raise MediaError(f"no such file; paths are relative to the folder of {file.name}, {file.parent}")
        return path

    return media


def check_fields(entry: Any, where: str) -> None:
    """Look for slips of the pen in the object of a segment.

    Raises:
        DocumentError: a field that its kind of segment doesn't have; begins with ``where``.
    """
    fields: dict[str, tuple[str, ...]] = {modality.name: FIELDS[modality.id] for modality in MODALITIES}
    known = fields.get(str(entry.get("type")), ()) if isinstance(entry, dict) else ()
    for name in entry if known else ():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise DocumentError(f"{where}.{name}: unknown field, expected some of {list(known)}{hint}")
