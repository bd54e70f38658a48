"""Your own documents: a JSONL file, one document a line, with media files beside it.

A line has the fields of ``KEY.json`` (see ``omni.datamodules.shards.format``); only ``segments`` is needed::

    {"segments": [{"type": "image", "file": "cats/1.jpg"}, {"type": "text", "text": "A cat asleep."}]}

``file`` is a path relative to the JSONL file, of any picture or sound format that ``omni.media`` reads.
``id`` becomes the document's key; lines without one are numbered. Other fields of the line are ignored; those
of a segment are an error, because a slip of the pen there would change what is learned.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.format import FIELDS, VERSION, DocumentError, document_from, parse_json
from omni.datamodules.shards.writer import check_key
from omni.media import MediaError
from omni.modality import MODALITIES
from omni.sequence import Document

SET_ASIDE_FILE = "not_imported.jsonl"


def read_jsonl(source: Path, quarantine: Quarantine, report: Callable[[int], None]) -> Iterator[Document]:
    """The documents of a JSONL file, in order.

    Args:
        source: the file.
        quarantine: takes the lines that can't be used; its limit is checked at the end.
        report: is told the bytes of each line, for a progress bar.

    Raises:
        ValueError: no such file, or too many bad lines.
    """
    if not source.is_file():
        raise ValueError(f"{source}: no such file; expected a JSONL file, one document a line")
    lines: dict[str, int] = {}
    count = 0
    with source.open("rb") as file:
        for number, line in enumerate(file, start=1):
            report(len(line))
            if not line.strip():
                continue
            count += 1
            try:
                document = parse_line(line, source, number)
                if document.key in lines:
                    raise DocumentError(
                        f"{source}:{number}: id {document.key!r} is also that of line {lines[document.key]}"
                    )
            except DocumentError as error:
                quarantine.add(str(source), str(number), error)
                continue
            lines[document.key] = number
            yield document
    quarantine.close(count)


def parse_line(line: bytes, source: Path, number: int) -> Document:
    """The document of line ``number`` of ``source``.

    Raises:
        DocumentError: it can't be used; the message names file, line and field.
    """
    where = f"{source}:{number}"
    head = {"version": VERSION, **parse_json(line, where)}
    key = head.get("id", f"{number:08d}")
    try:
        check_key(str(key))
    except DocumentError as error:
        raise DocumentError(f"{where}: id: {error}; without an id, lines are numbered") from error
    _check_fields(head, where)

    def media(name: str) -> Path:
        path = source.parent / name
        if not path.is_file():
            raise MediaError(
                f"no such file; paths are relative to the folder of {source.name}, {source.parent}"
            )
        return path

    return document_from(head, f"{where}: ", media, key=str(key))


def _check_fields(head: dict[str, Any], where: str) -> None:
    entries = head.get("segments")
    fields: dict[str, tuple[str, ...]] = {modality.name: FIELDS[modality.id] for modality in MODALITIES}
    for number, entry in enumerate(entries if isinstance(entries, list) else []):
        known = fields.get(str(entry.get("type")), ()) if isinstance(entry, dict) else ()
        for name in entry if known else ():
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise DocumentError(
                    f"{where}: segments[{number}].{name}: unknown field, expected some of {list(known)}{hint}"
                )
