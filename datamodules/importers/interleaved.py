"""Web pages with pictures in their places: OBELICS and OmniCorpus, whose rows hold two lists side by side.

At each place either ``texts`` or ``images`` has an entry, the other is null. Schemas:
https://huggingface.co/datasets/HuggingFaceM4/OBELICS (parquet: ``images``, ``texts``, ``metadata``,
``general_metadata``) and https://huggingface.co/datasets/OpenGVLab/OmniCorpus-CC (the same names;
``general_metadata`` is an object with the page's ``id``). Both publish addresses in place of pictures.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from omni.datamodules.importers.pages import MissingPictures, Page, page_document
from omni.datamodules.importers.pictures import Pictures, not_downloaded
from omni.datamodules.importers.rows import (
    Progress,
    Row,
    documents_from,
    files_in,
    json_lines,
    key_from,
    key_prefix,
    unicode_text,
)
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.damage import DocumentError
from omni.sequence import Document


def read_interleaved(
    source: Path,
    aside: Quarantine,
    progress: Progress,
    *,
    name: str,
    images: Path | None = None,
    missing: MissingPictures = "page",
) -> Iterator[Document]:
    """Pages as running content: texts and pictures in order, no roles, all of it learned.

    Keys are the page's id where it has one (OmniCorpus), otherwise file and row.

    Args:
        source: a parquet or JSONL file, or a folder of them.
        aside: takes pages and pictures that can't be used.
        progress: is told rows (parquet) or bytes (JSONL).
        name: source of the documents.
        images: folder of the downloaded pictures, see ``Pictures``; not needed where the file holds them.
        missing: what is set aside when a picture is missing or damaged: its ``page``, or only the ``picture``.

    Raises:
        ValueError: no such files, no pyarrow to read parquet, or too many pages that can't be used.
    """
    files = files_in(source, ".parquet", ".jsonl")
    jsonl = [file for file in files if file.suffix.lower() == ".jsonl"]
    if jsonl and len(jsonl) < len(files):
        raise ValueError(f"{source}: both parquet and JSONL files; import one kind at a time")
    pictures = Pictures(images) if images is not None else None
    rows = json_lines(files, progress) if jsonl else _parquet_rows(files, progress)

    def make(row: Row[dict[str, Any]], fields: dict[str, Any]) -> Document:
        key = key_from(_page_id(fields) or f"{key_prefix(row.file, source)}-{int(row.place):08d}")
        return page_document(_page(fields, pictures), key, name, row, aside, missing)

    yield from documents_from(rows, make, aside, progress)


def _page(fields: dict[str, Any], pictures: Pictures | None) -> Page:
    images, texts = fields.get("images"), fields.get("texts")
    if not isinstance(images, list) or not isinstance(texts, list):
        raise DocumentError(f"expected lists `images` and `texts`, got the columns {sorted(fields)}")
    if len(images) != len(texts):
        raise DocumentError(f"images and texts are of unequal length, {len(images)} and {len(texts)}")
    page: Page = []
    for number, (image, text) in enumerate(zip(images, texts, strict=True)):
        if image is not None and text is not None:
            raise DocumentError(f"both a picture and a text at place {number}; expected one of them")
        if text is not None:
            page.append(unicode_text(text, "text"))
        elif image is not None:
            page.append(partial(_content, image, pictures))
    return page


def _content(image: Any, pictures: Pictures | None) -> bytes:
    """A picture's file: as it stands in the row, as Hugging Face's ``{bytes, path}``, or by its address."""
    inside = image.get("bytes") if isinstance(image, dict) else image
    if isinstance(inside, bytes):
        return inside
    address = image.get("path") if isinstance(image, dict) else image
    if not isinstance(address, str):
        raise DocumentError(f"picture: expected an address or its bytes, got {image!r:.60}")
    if pictures is None:
        raise not_downloaded(address)
    return pictures.find(address)


def _page_id(fields: dict[str, Any]) -> str | None:
    """``general_metadata.id``; the column is an object, or one written as JSON."""
    general = fields.get("general_metadata")
    if isinstance(general, str):
        try:
            general = json.loads(general)
        except ValueError:
            return None
    page_id = general.get("id") if isinstance(general, dict) else None
    return page_id if isinstance(page_id, str) and page_id.strip() else None


def _parquet_rows(files: list[Path], progress: Progress) -> Iterator[Row[dict[str, Any]]]:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ModuleNotFoundError as error:
        raise ValueError("parquet files need pyarrow: pip install 'omni[import]'") from error
    opened: list[tuple[Path, Any]] = []
    damaged: list[Row[dict[str, Any]]] = []
    for path in files:
        try:
            opened.append((path, ParquetFile(path)))
        except (ArrowInvalid, OSError) as error:
            damaged.append(Row(path, "all", DocumentError(f"damaged parquet file ({error})")))
    progress.expect(sum(file.metadata.num_rows for _, file in opened) + len(damaged))
    yield from damaged
    for path, file in opened:
        wanted = [name for name in ("images", "texts", "general_metadata") if name in file.schema_arrow.names]
        number = 0
        try:
            for batch in file.iter_batches(batch_size=64, columns=wanted):
                for fields in batch.to_pylist():
                    number += 1
                    yield Row(path, str(number), fields)
        except (ArrowInvalid, OSError) as error:
            left = file.metadata.num_rows - number
            yield Row(path, f"{number + 1}-", DocumentError(f"damaged parquet file ({error})"), left)
