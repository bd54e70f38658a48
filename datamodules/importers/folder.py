"""A folder of pictures with captions: a ``.txt`` of the same name beside each, or a metadata file.

Schema: https://huggingface.co/docs/datasets/image_dataset: ``metadata.jsonl`` or ``metadata.csv`` with the
columns ``file_name`` (relative to the metadata file) and ``text``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from omni.datamodules.importers.pairs import Pairing
from omni.datamodules.importers.pictures import is_picture
from omni.datamodules.importers.rows import EVERYTHING, Progress, Row, Span, documents_from, key_from, text_of
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.fields import parse_json
from omni.sequence import Document, Image

METADATA = ("metadata.jsonl", "metadata.csv")
FILE_NAME = "file_name"
Captioned = tuple[Path, Any]
"""A picture's file and its caption as it was found; ``None`` where there is none."""


def read_folder(
    source: Path,
    aside: Quarantine,
    progress: Progress,
    *,
    pairing: Pairing,
    caption: str = "text",
    span: Span = EVERYTHING,
) -> Iterator[Document]:
    """Pictures with their captions. Keys are the pictures' paths below ``source``.

    Args:
        source: the folder, with pictures at any depth.
        aside: takes pictures without a caption, captions without a picture, and damaged pictures.
        progress: is told the rows.
        pairing: how picture and caption become a document.
        caption: column of the metadata file that holds the caption.
        span: rows that are read.

    Raises:
        ValueError: no such folder, no pictures there, or too many that can't be used.
    """
    if not source.is_dir():
        raise ValueError(f"{source}: no such folder; expected one with pictures and their captions")
    metadata = sorted(path for name in METADATA for path in source.rglob(name))
    pictures = sorted(path for path in source.rglob("*") if is_picture(path))
    if not pictures:
        raise ValueError(f"{source}: no pictures in this folder")
    rows = list(_described(metadata, pictures, caption) if metadata else _with_texts(pictures))
    progress.expect(len(rows))

    def make(row: Row[Captioned], content: Captioned) -> Document:
        path, text = content
        if not path.is_file():
            raise DocumentError(f"{FILE_NAME} {path.name!r}: no such file in {path.parent}")
        words = text_of(text, "caption")
        key = key_from(path.relative_to(source).as_posix())
        return pairing.document(key, Image.open(path), words)

    yield from documents_from(span.of(rows), make, aside, progress)


def _with_texts(pictures: list[Path]) -> Iterator[Row[Captioned]]:
    for picture in pictures:
        beside = picture.with_suffix(".txt")
        try:
            caption = beside.read_text(encoding="utf-8-sig") if beside.is_file() else None
        except UnicodeDecodeError as error:
            yield Row(beside, "1", DocumentError(f"not UTF-8 ({error})"))
            continue
        yield Row(picture.parent, picture.name, (picture, caption))


def _described(metadata: list[Path], pictures: list[Path], column: str) -> Iterator[Row[Captioned]]:
    named: set[Path] = set()
    for file in metadata:
        for row in _csv_rows(file) if file.suffix == ".csv" else _jsonl_rows(file):
            fields = row.content
            if isinstance(fields, DocumentError):
                yield Row(file, row.place, fields)
            elif not isinstance(name := fields.get(FILE_NAME), str) or column not in fields:
                wanted = [FILE_NAME, column]
                yield Row(file, row.place, DocumentError(f"expected columns {wanted}, got {sorted(fields)}"))
            elif ".." in Path(name).parts or Path(name).is_absolute():
                yield Row(file, row.place, DocumentError(f"{FILE_NAME} {name!r} leads out of the folder"))
            else:
                named.add(file.parent / name)
                yield Row(file, row.place, (file.parent / name, fields[column]))
    for picture in pictures:
        if picture not in named:
            yield Row(picture.parent, picture.name, DocumentError("no metadata file names this picture"))


def _jsonl_rows(file: Path) -> Iterator[Row[dict[str, Any]]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                yield Row(file, str(number), parse_json(line, "this line"))
            except DocumentError as error:
                yield Row(file, str(number), error)


def _csv_rows(file: Path) -> Iterator[Row[dict[str, Any]]]:
    with file.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        for fields in reader:
            yield Row(file, str(reader.line_num), {name: fields[name] for name in fields if name})
