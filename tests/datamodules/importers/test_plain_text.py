"""Plain text: files and paragraphs."""

from __future__ import annotations

from pathlib import Path

import pytest

from omni.datamodules.importers.plain_text import read_text
from tests.datamodules.importers.imported import import_from, save, shown


@pytest.fixture
def books(tmp_path: Path) -> Path:
    save(tmp_path / "books" / "a.b.txt", "\ufeffOne\r\ntwo.\r\n\r\n  \nThree, é.\n".encode())
    save(tmp_path / "books" / "more" / "c.txt", b"Four.")
    return tmp_path / "books"


def test_a_file_is_a_document(books: Path) -> None:
    found = import_from(read_text, books, name="books")
    assert found.keys == ["a_b", "more/c"]
    assert shown(found.documents[0]) == ["* 'One\\ntwo.\\n\\n  \\nThree, é.'"]
    assert found.documents[1].source == "books"
    assert found.told.steps == sum(found.told.done) == 35


def test_a_paragraph_is_a_document(books: Path) -> None:
    found = import_from(read_text, books, name="books", document="paragraph")
    assert found.keys == ["a_b-00000001", "a_b-00000005", "more/c-00000001"]
    assert [shown(d) for d in found.documents] == [["* 'One\\ntwo.'"], ["* 'Three, é.'"], ["* 'Four.'"]]


def test_empty_files_and_other_encodings_are_set_aside(books: Path) -> None:
    save(books / "empty.txt", b" \n")
    save(books / "latin.txt", "é".encode("latin-1"))
    found = import_from(read_text, books, most=0.5, name="books")
    assert found.keys == ["a_b", "more/c"]
    assert [error for _, error in found.aside] == [
        f"{books}/empty.txt:1: text is empty",
        f"{books}/latin.txt:1: not UTF-8 (unexpected end of data at byte 0)",
    ]
    with pytest.raises(ValueError, match=r"2 of 4 documents are damaged, .* share of 0\.25"):
        import_from(read_text, books, most=0.25, name="books")
