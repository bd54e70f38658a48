"""Text curation: which documents stay, and why the others go. Needs the extra ``curate``."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import pytest

from omni.datamodules.curation import Curation, CurationConfig, curate, text_in
from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards.damage import DocumentError
from omni.sequence import Document, Image, Text
from tests.tiny import picture

PROSE = (
    "The harbour of the old town lies below the hill, and the boats that come in with the tide have to wait "
    "for the pilot. In the morning the fishermen sell what they caught in the night, while children look for "
    "crabs among the stones. Nobody there is in a hurry; the sea decides when the day of work begins, and it "
    "is the sea that ends it. When the wind turns to the north the whole town smells of tar and of salt."
)

LANGUAGE_MODEL = (
    "eNrbJeavz8PAwMAExKxQzIhEM0MxMkgBYl1nmdePzKTsuYFsTqj+CCaI/H8osNEvtgMrBoOSjFQGIxinODURwUnMS0FwyjOR"
    "eSmJxQiOb2pqEYJXiqIOWSY+PicxKTUnPj41Dy7ICBdMQTiDEex0BqjzQeDgrL59DBwcCjJPl+4X/MmwCBctFbPdfnolpxI2"
    "eqYnrxLcQBgdLKx7wPpwy6I4YV0Hi8MtSgC3tkdm"
)
"""A fastText model of four words of English and four of German, trained on two sentences; packed by zlib."""


class Shelf(list[Document]):
    """Documents in a list; ``damaged`` ones can't be read."""

    damaged: tuple[int, ...] = ()

    def __getitem__(self, number: int) -> Document:  # type: ignore[override]
        if number in self.damaged:
            raise DocumentError(f"document {number} is damaged")
        return super().__getitem__(number)


def judged(tmp_path: Path, *texts: str, damaged: tuple[int, ...] = (), **config: object) -> Curation:
    pytest.importorskip("datatrove", reason="the extra `curate`")
    shelf = Shelf(Document((Text(text),), key=str(number)) for number, text in enumerate(texts))
    shelf.damaged = damaged
    aside = Quarantine(tmp_path, 0.5, "--max-damaged", warn=False)
    settings = CurationConfig(**config)  # type: ignore[arg-type]
    return curate(shelf, settings, aside, lambda number: ("shard", str(number)))


def test_exact_duplicates_keep_the_first(tmp_path: Path) -> None:
    found = judged(tmp_path, "a b", "c", "a b", "a  b", "a b", exact=True)
    assert found.kept == [0, 1, 3]
    assert found.dropped == {2: "exact duplicate", 4: "exact duplicate"}
    assert found.by_reason == {"exact duplicate": 2}


def test_near_duplicates_keep_one(tmp_path: Path) -> None:
    near = PROSE.replace("crabs", "shells").replace(";", ",")
    other = " ".join(reversed(PROSE.split()))
    found = judged(tmp_path, PROSE, other, near, near.upper(), near=True)
    assert len(found.kept) == 2 and 1 in found.kept
    assert set(found.dropped.values()) == {"near duplicate"}


def test_quality(tmp_path: Path) -> None:
    again = "Buy now! " * 60
    found = judged(tmp_path, PROSE, "Too short.", again, quality=True)
    assert found.kept == [0]
    assert found.dropped[1].startswith("quality: ") and found.dropped[2].startswith("quality: ")


def test_language_by_a_model_of_one_s_own(tmp_path: Path) -> None:
    pytest.importorskip("fasttext", reason="the extra `curate`")
    (tmp_path / "lid.bin").write_bytes(zlib.decompress(base64.b64decode(LANGUAGE_MODEL)))
    texts = ("the wind and\nthe sea", "das Meer und der Wind")
    found = judged(tmp_path, *texts, languages=("en",), language_model=tmp_path / "lid.bin")
    assert (found.kept, found.dropped) == ([0], {1: "language: de"})
    with pytest.raises(ValueError, match=r"none\.bin: no such file; expected a fastText model"):
        judged(tmp_path, *texts, languages=("en",), language_model=tmp_path / "none.bin")
    (tmp_path / "bad.bin").write_bytes(b"no model")
    with pytest.raises(ValueError, match=r"bad\.bin: no fastText model"):
        judged(tmp_path, *texts, languages=("en",), language_model=tmp_path / "bad.bin")


def test_documents_without_text_stay_and_damaged_ones_are_set_aside(tmp_path: Path) -> None:
    pytest.importorskip("datatrove", reason="the extra `curate`")
    image = Image(picture(1))
    shelf = Shelf(
        [Document((image,)), Document((image, Text("a"))), Document((Text("a"), image)), Document((image,))]
    )
    shelf.damaged = (3,)
    aside = Quarantine(tmp_path, 0.5, "--max-damaged", warn=False)
    found = curate(shelf, CurationConfig(exact=True), aside, lambda number: ("shard", str(number)))
    assert found.kept == [0, 1] and found.dropped == {2: "exact duplicate"}
    assert aside.lines == [{"shard": "shard", "key": "3", "error": "document 3 is damaged"}]


def test_what_is_judged_is_the_text() -> None:
    segments = (Text("a", role="user"), Image(picture(1)), Text(" "), Text("b", role="assistant"))
    assert text_in(Document(segments)) == "a\nb"


def test_settings_that_say_nothing_or_too_much() -> None:
    with pytest.raises(ValueError, match="nothing to curate by"):
        CurationConfig()
    with pytest.raises(ValueError, match="the language threshold is a probability, expected 0 to 1, got 2"):
        CurationConfig(languages=("en",), language_threshold=2.0)


def test_without_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omni.datamodules.curation.find_spec", lambda name: None)
    aside = Quarantine(tmp_path, 0.5, "--max-damaged", warn=False)
    with pytest.raises(ValueError, match=r"needs datatrove, fasttext, spacy: pip install 'omni\[curate\]'"):
        curate(Shelf(), CurationConfig(exact=True), aside, lambda number: ("", ""))
