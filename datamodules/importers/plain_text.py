"""Plain text: ``*.txt``, in UTF-8; a file is a document, or each of its paragraphs is."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from omni.datamodules.importers.rows import (
    Progress,
    Row,
    documents_from,
    files_in,
    key_from,
    key_prefix,
    text_of,
)
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.damage import DocumentError
from omni.sequence import Document, Text

FILE, PARAGRAPH = "file", "paragraph"


def read_text(
    source: Path, aside: Quarantine, progress: Progress, *, name: str, document: str = FILE
) -> Iterator[Document]:
    """Running text, all of it learned, without roles.

    Keys are the files' paths below ``source``; of a paragraph, with the number of its first line.

    Args:
        source: a text file, or a folder with ``*.txt`` at any depth.
        aside: takes empty files, and those that are no UTF-8.
        progress: is told the bytes that are read.
        name: source of the documents.
        document: what is one document, a ``file`` or a ``paragraph`` (up to a blank line).

    Raises:
        ValueError: no such files, or too many that can't be used.
    """
    files = files_in(source, ".txt")
    progress.expect(sum(file.stat().st_size for file in files))
    rows = _paragraphs(files) if document == PARAGRAPH else _files(files)

    def make(row: Row[str], text: str) -> Document:
        prefix = key_prefix(row.file, source)
        key = key_from(f"{prefix}-{int(row.place):08d}" if document == PARAGRAPH else prefix)
        return Document((Text(text_of(text, "text")),), key=key, source=name)

    yield from documents_from(rows, make, aside, progress)


def _files(files: list[Path]) -> Iterator[Row[str]]:
    for file in files:
        content = file.read_bytes()
        yield Row(file, "1", _decoded(content), len(content))


def _paragraphs(files: list[Path]) -> Iterator[Row[str]]:
    for path in files:
        with path.open("rb") as file:
            for blank, lines in groupby(enumerate(file, start=1), key=lambda line: not line[1].strip()):
                numbered = list(lines)
                content = b"".join(line for _, line in numbered)
                if not blank:
                    yield Row(path, str(numbered[0][0]), _decoded(content), len(content))


def _decoded(content: bytes) -> str | DocumentError:
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        return DocumentError(f"not UTF-8 ({error.reason} at byte {error.start})")
