"""What all importers do alike: keys, files, limits."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omni.datamodules.importers.file_formats import FILES
from omni.datamodules.importers.formats import FORMATS, Format
from omni.datamodules.importers.rows import files_in, key_from, key_prefix, text_of
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.writer import check_key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("84-121123-0000", "84-121123-0000"),
        ("cats/1.5.jpg", "cats/1_5_jpg"),
        ("/abs/a", "abs/a"),
        ("../../x", "__/__/x"),
        ("a\nb", "a_b"),
        ("<urn:uuid:é>", "<urn:uuid:é>"),
    ],
)
def test_keys(name: str, key: str) -> None:
    assert key_from(name) == key


@given(st.text())
def test_a_key_is_good_or_an_error(name: str) -> None:
    try:
        key = key_from(name)
    except DocumentError:
        return
    check_key(key)
    assert key_from(key) == key


def test_files_of_a_folder_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "deep/c.TXT", "d.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    files = files_in(tmp_path, ".txt")
    assert [file.name for file in files] == ["a.txt", "b.txt", "c.TXT"]
    assert [key_prefix(file, tmp_path) for file in files] == ["a", "b", "deep/c"]
    assert files_in(tmp_path / "d.md", ".txt") == [tmp_path / "d.md"]  # who names a file means it
    assert key_prefix(tmp_path / "d.md", tmp_path / "d.md") == "d"
    with pytest.raises(ValueError, match=r"no files \*\.tar in this folder"):
        files_in(tmp_path, ".tar")
    with pytest.raises(ValueError, match=r"no such file or folder; expected files \*\.tar, \*\.tgz"):
        files_in(tmp_path / "none", ".tar", ".tgz")


def test_text_that_says_something() -> None:
    assert text_of(" a b \n", "caption") == "a b"
    for value, message in [
        (None, "no caption"),
        ("\n", "caption is empty"),
        (7, "caption: expected a string, got 7"),
        ("\ud800", "caption: not Unicode text"),
    ]:
        with pytest.raises(DocumentError, match=message):
            text_of(value, "caption")


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_every_format_has_a_reader_with_its_options(form: Format) -> None:
    parameters = inspect.signature(form.read()).parameters
    keywords = [name for name, one in parameters.items() if one.kind is one.KEYWORD_ONLY]
    assert sorted(keywords) == sorted(
        ["pairing" if form.media else "name", *(option.name for option in form.options)]
        + ["span"] * (form.name not in FILES)
    ), "formats without a file for each part are cut between rows"
    for option in form.options:
        if not option.flag and parameters[option.name].default is not inspect.Parameter.empty:
            assert parameters[option.name].default == option.default
