"""Multimodal C4: sentences of a web page, and pictures that are matched to one of them each.

Schema: https://github.com/allenai/mmc4: JSONL with ``text_list`` (sentences) and ``image_info`` (objects with
``image_name``, ``raw_url``, ``matched_text_index``, ``matched_sim``). The pictures are downloaded by the user.
"""

from __future__ import annotations

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
)
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.damage import DocumentError
from omni.media import MediaError
from omni.sequence import Document


def read_mmc4(
    source: Path,
    aside: Quarantine,
    progress: Progress,
    *,
    name: str,
    images: Path | None = None,
    missing: MissingPictures = "page",
) -> Iterator[Document]:
    """Pages as running content: each picture stands before the sentence that it is matched to.

    Sentences between two pictures are one text. No roles, all of it learned. Keys are file and line.

    Args:
        source: a JSONL file, or a folder of them.
        aside: takes pages and pictures that can't be used.
        progress: is told the bytes of each line.
        name: source of the documents.
        images: folder of the downloaded pictures, named by ``image_name``, or as img2dataset writes them.
        missing: what is set aside when a picture is missing or damaged: its ``page``, or only the ``picture``.

    Raises:
        ValueError: no such files, or too many pages that can't be used.
    """
    files = files_in(source, ".jsonl")
    pictures = Pictures(images) if images is not None else None

    def make(row: Row[dict[str, Any]], fields: dict[str, Any]) -> Document:
        key = key_from(f"{key_prefix(row.file, source)}-{int(row.place):08d}")
        return page_document(_page(fields, pictures), key, name, row, aside, missing)

    yield from documents_from(json_lines(files, progress), make, aside, progress)


def _page(fields: dict[str, Any], pictures: Pictures | None) -> Page:
    sentences, infos = fields.get("text_list"), fields.get("image_info")
    if not isinstance(sentences, list) or not isinstance(infos, list):
        raise DocumentError(f"expected lists `text_list` and `image_info`, got the fields {sorted(fields)}")
    if not all(isinstance(sentence, str) for sentence in sentences):
        raise DocumentError("text_list: expected strings only")
    before: dict[int, list[dict[str, Any]]] = {}
    for number, info in enumerate(infos):
        index = info.get("matched_text_index") if isinstance(info, dict) else None
        if not isinstance(index, int) or not 0 <= index < len(sentences):
            raise DocumentError(
                f"image_info[{number}].matched_text_index: expected 0 to {len(sentences) - 1}, got {index!r}"
            )
        before.setdefault(index, []).append(info)
    page: Page = []
    for index, sentence in enumerate(sentences):
        page += [partial(_content, info, pictures) for info in before.get(index, [])]
        last = page[-1] if page else None
        if isinstance(last, str):
            page[-1] = f"{last} {sentence}"
        else:
            page.append(sentence)
    return page


def _content(info: dict[str, Any], pictures: Pictures | None) -> bytes:
    name, address = info.get("image_name"), info.get("raw_url")
    if not isinstance(name, str) and not isinstance(address, str):
        raise DocumentError("image_info: neither image_name nor raw_url")
    if pictures is None:
        raise not_downloaded(str(address or name))
    if isinstance(name, str) and (pictures.folder / name).is_file():
        return pictures.find(name)
    if not isinstance(address, str):
        raise MediaError(f"picture {name!r}: no such file in {pictures.folder}")
    return pictures.find(address)
