"""Exams: JSONL, one question a line, with media files beside it.

A line is a question, two options or more, and the number of the right one, from 0::

    {"question": [{"type": "image", "file": "7.png"}, {"type": "text", "text": "which digit?"}],
     "options": ["six", "seven", "eight"], "answer": 1}
    {"question": "which one says seven?", "answer": 0,
     "options": [[{"type": "audio", "file": "seven.wav"}], [{"type": "audio", "file": "six.wav"}]]}

The question and each option are lists of segments as in ``omni.datamodules.importers.jsonl``; a string is one text.
The options of a question are of one modality. ``id`` names the question, ``source`` the exam that its
figures are named after. Any other field is an error, and so is any line that can't be used: an exam is held whole.
"""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from omni.choice import Choice
from omni.datamodules.importers.jsonl import check_fields, media_beside
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.fields import got, parse_json, string_field
from omni.datamodules.shards.format import Media, segment_from
from omni.sequence import Segment, Text

CHOICE_FIELDS = ("id", "source", "question", "options", "answer")


def read_choices(path: Path | str) -> list[Choice]:
    """The questions of a JSONL file, in order; those without a ``source`` belong to one named after the file.

    Raises:
        ValueError: no such file, no questions in it, or a line that can't be used: names file, line and field.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: no such file; expected a JSONL file, one question a line")
    found: list[Choice] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                try:
                    found.append(_choice(parse_json(line, "this line"), path, number))
                except ValueError as error:
                    raise DocumentError(f"{path}:{number}: {error}") from error
    if not found:
        raise ValueError(f"{path}: no questions in this file")
    return found


def _choice(line: dict[str, Any], path: Path, number: int) -> Choice:
    for name in line:
        if name not in CHOICE_FIELDS:
            near = difflib.get_close_matches(name, CHOICE_FIELDS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise DocumentError(f"{name}: unknown field, expected some of {list(CHOICE_FIELDS)}{hint}")
    options, answer = line.get("options"), line.get("answer")
    if not isinstance(options, list):
        raise DocumentError(f"options: expected a list, got {got(line, 'options')}")
    if not isinstance(answer, int) or isinstance(answer, bool):
        raise DocumentError(f"answer: expected the number of an option, from 0, got {got(line, 'answer')}")
    media = media_beside(path)
    return Choice(
        question=_segments(line.get("question"), "question", media),
        options=tuple(_segments(option, f"options[{n}]", media) for n, option in enumerate(options)),
        answer=answer,
        key=string_field(line, "id", "") if "id" in line else f"{number:08d}",
        source=string_field(line, "source", "") if "source" in line else path.stem,
    )


def _segments(entries: Any, where: str, media: Media) -> tuple[Segment, ...]:
    if isinstance(entries, str):
        return (Text(entries),)
    if not isinstance(entries, list):
        raise DocumentError(f"{where}: expected a string or a list of segments, got {entries!r:.60}")
    found = []
    for number, entry in enumerate(entries):
        check_fields(entry, f"{where}[{number}]")
        found.append(segment_from(entry, f"{where}[{number}]", media, None))
    return tuple(found)
