"""What all importers do alike: rows of a source become documents, those that can't be used are set aside."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.fields import parse_json
from omni.datamodules.shards.writer import check_key
from omni.media import MediaError
from omni.sequence import Document

SET_ASIDE_FILE = "not_imported.jsonl"

Content = TypeVar("Content")
Item = TypeVar("Item")


@runtime_checkable
class Progress(Protocol):
    """Is told how far an importer is, in steps of any one kind: bytes, rows or files."""

    def expect(self, steps: int) -> None:
        """How many steps there are in all; told once, before the first of them."""

    def advance(self, steps: int) -> None:
        """So many more are done."""


@dataclass(frozen=True)
class Span:
    """Neighbouring rows of a source, where a task reads no others."""

    start: int = 0
    """The first row, counted from 0."""
    stop: int | None = None
    """The row behind the last; ``None`` for all to the end."""
    byte: int = 0
    """Of a file with a row in each line: where the first one begins."""
    line: int = 1
    """Its number."""

    def of(self, rows: Iterable[Item]) -> Iterator[Item]:
        """These of all rows."""
        return islice(rows, self.start, self.stop)


EVERYTHING = Span()


@dataclass(frozen=True)
class Row(Generic[Content]):
    """One row of a source: what a document is made of."""

    file: Path
    place: str
    """Where in the file it stands: a line number, a row number, a key. Or, for one file a row, its name."""
    content: Content | DocumentError
    """An error where the row can't even be read."""
    steps: int = 1
    """Of the progress."""

    @property
    def where(self) -> str:
        """File and place, for messages."""
        return f"{self.file}:{self.place}"


def documents_from(
    rows: Iterable[Row[Content]],
    make: Callable[[Row[Content], Content], Document | tuple[Document, ...]],
    aside: Quarantine,
    progress: Progress,
) -> Iterator[Document]:
    """The documents of the rows, in order; each key once.

    Args:
        rows: the source.
        make: makes a document, or several that belong together, of a row and its content; a ``DocumentError`` or
            ``MediaError`` where it can't.
        aside: takes the rows that can't be used; its limit is checked at the end.
        progress: is told the steps of each row.

    Raises:
        ValueError: too many rows can't be used.
    """
    places: dict[str, str] = {}
    count = 0
    for row in rows:
        count += 1
        progress.advance(row.steps)
        listed = len(aside.lines)
        try:
            if isinstance(row.content, DocumentError):
                raise row.content
            made = make(row, row.content)
            found = made if isinstance(made, tuple) else (made,)
            for document in found:
                if document.key in places:
                    raise DocumentError(f"key {document.key!r} is also that of {places[document.key]}")
        except (DocumentError, MediaError) as error:
            aside.add(str(row.file), row.place, DocumentError(f"{row.where}: {error}"))
            continue
        count += len(aside.lines) - listed  # pictures that ``make`` left out of a page
        places |= dict.fromkeys((document.key for document in found), row.where)
        yield from found
    aside.close(count)


def key_from(name: str) -> str:
    """A source's own name for a row as a key: dots and what can't be printed become ``_``.

    Raises:
        DocumentError: nothing is left of it that could be a key.
    """
    key = "".join("_" if letter == "." or not letter.isprintable() else letter for letter in name.strip("/ "))
    check_key(key)
    return key


def files_in(source: Path, *suffixes: str) -> list[Path]:
    """``source`` itself, or the files with one of these suffixes (``.jsonl``) below it, in order of their names.

    Raises:
        ValueError: no such path, or no such files there.
    """
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise ValueError(
            f"{source}: no such file or folder; expected files *{', *'.join(suffixes)} or their folder"
        )
    files = sorted(path for path in source.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    if not files:
        raise ValueError(f"{source}: no files *{', *'.join(suffixes)} in this folder")
    return files


def key_prefix(file: Path, source: Path) -> str:
    """What the keys of a file's rows begin with: its path below ``source``, without its suffix."""
    return (file.relative_to(source) if file != source else Path(file.name)).with_suffix("").as_posix()


def json_lines(
    files: list[Path], progress: Progress, span: Span = EVERYTHING
) -> Iterator[Row[dict[str, Any]]]:
    """The JSON objects of JSONL files, a row each, placed by their line numbers; blank lines are passed over.

    A ``span`` is one of a single file, as ``line_spans`` gives it.
    """
    progress.expect(sum(file.stat().st_size for file in files))
    left = None if span.stop is None else span.stop - span.start
    for path in files:
        with path.open("rb") as file:
            file.seek(span.byte)
            for number, line in enumerate(file, start=span.line):
                if left == 0:
                    return
                if not line.strip():
                    progress.advance(len(line))
                    continue
                left = None if left is None else left - 1
                yield Row(path, str(number), _object(line), len(line))


def json_list(source: Path, progress: Progress) -> list[Row[dict[str, Any]]]:
    """The objects of a JSON list, a row each, placed by their numbers from 1.

    Raises:
        ValueError: no JSON, or no list.
    """
    try:
        talks = json.loads(source.read_bytes())
    except ValueError as error:
        raise ValueError(f"{source}: not JSON ({error})") from error
    if not isinstance(talks, list):
        raise ValueError(f"{source}: expected a JSON list of conversations, got {type(talks).__name__}")
    progress.expect(len(talks))
    return [
        Row(
            source,
            str(number),
            talk if isinstance(talk, dict) else DocumentError(f"expected an object, got {talk!r:.60}"),
        )
        for number, talk in enumerate(talks, start=1)
    ]


def line_spans(file: Path, size: int) -> list[Span]:
    """The lines of a file that aren't blank, ``size`` at a time."""
    spans: list[Span] = []
    rows = byte = 0
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                if rows % size == 0:
                    spans.append(Span(rows, rows + size, byte, number))
                rows += 1
            byte += len(line)
    return spans


def _object(line: bytes) -> dict[str, Any] | DocumentError:
    try:
        return parse_json(line, "this line")
    except DocumentError as error:
        return error


def unicode_text(value: Any, name: str) -> str:
    """``value``, where it is text, possibly empty.

    Raises:
        DocumentError: it is none, or can't be written as UTF-8; says that it should be ``name``.
    """
    if not isinstance(value, str):
        raise DocumentError(
            f"no {name}" if value is None else f"{name}: expected a string, got {value!r:.60}"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise DocumentError(f"{name}: not Unicode text ({error})") from error
    return value


def text_of(value: Any, name: str) -> str:
    """``value``, where it is text that says something; space at its ends is cut off.

    Raises:
        DocumentError: it is no text, or empty; says that it should be ``name``.
    """
    text = unicode_text(value, name).strip()
    if not text:
        raise DocumentError(f"{name} is empty")
    return text
