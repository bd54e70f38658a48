"""``omni shards show``: documents in the terminal, as JSON, and on a page that stands alone."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from omni.datamodules.shards.index import write_index
from omni.datamodules.shards.index_folder import index_folder
from omni.datamodules.shards.writer import write_shards
from omni.layout import Layout
from omni.sequence import Document, Text
from tests.cli.shards.shards_command import omni_shards
from tests.tiny import tiny_documents, tiny_tokenizers, write_tar

VOID = {"meta", "link", "img", "br", "col", "source", "input"}


class Page(HTMLParser):
    """The elements of a page; every tag is closed, in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, (tag, self.open)
        self.open.pop()

    def of(self, tag: str, name: str = "") -> list[dict[str, str]]:
        """Attributes of the elements ``tag`` that have the class ``name``."""
        return [
            one
            for kind, one in self.found
            if kind == tag and (not name or name in one.get("class", "").split())
        ]


@pytest.fixture
def tokenizers(tmp_path: Path) -> Path:
    tiny_tokenizers().save(tmp_path / "tokenizers")
    return tmp_path / "tokenizers"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shards(tiny_documents(16), tmp_path / "shards", per_shard=6)
    return tmp_path / "shards"


def page(path: Path) -> tuple[Page, str]:
    text = path.read_text()
    found = Page(text)
    addresses = [one[name] for _, one in found.found for name in ("src", "href") if name in one]
    assert all(address.startswith(("data:", "#")) for address in addresses)  # it needs no other file
    assert not re.search(r"url\(|@import|<script", text)
    return found, text


def test_a_page_of_documents(folder: Path, tokenizers: Path, tmp_path: Path) -> None:
    out = tmp_path / "reports" / "page.html"
    omni_shards("show", folder, "--html", out, "--first", 8, "--tokenizers", tokenizers)
    found, text = page(out)
    assert len(found.of("article")) == 8
    pictures, clips = found.of("img"), found.of("audio")
    assert {one["src"].split(",")[0] for one in pictures} == {"data:image/png;base64"} and len(pictures) == 5
    assert {one["src"].split(",")[0] for one in clips} == {"data:audio/flac;base64"} and len(clips) == 5
    layout = Layout(tiny_tokenizers())
    sequences = [layout.encode(document) for document in tiny_documents(8)]
    cells = [one for one in found.of("i") if "title" in one]
    assert len(cells) == sum(map(len, sequences))
    assert sum("target" in one.get("class", "").split() for one in cells) == sum(
        int(one.loss[1:].sum()) for one in sequences
    )
    assert cells[0]["title"] == "0: <|begin|>" and cells[1]["title"] == "1: <|user|>"
    codes = " ".join(map(str, sequences[2].codes[1].tolist()))
    assert f"frame 1: {codes}" in {one["title"].split(": ", 1)[1] for one in cells}
    assert "patch 1, 0" in {one["title"].split(": ", 1)[1].removesuffix(" (target)") for one in cells}
    assert "Only the documents above are packed" in text
    assert len(found.of("span", "piece")) == 8


def test_the_first_rows_of_measured_shards(folder: Path, tokenizers: Path, tmp_path: Path) -> None:
    index_folder(folder, tokenizers)
    out = tmp_path / "page.html"
    omni_shards(
        *("show", folder, "--html", out, "--first", 1, "--tokenizers", tokenizers, "--row-length", 120)
    )
    found, text = page(out)
    assert "Rows of this folder as training packs them" in text
    pieces = found.of("span", "piece")
    assert sorted(one["title"].split()[0] for one in pieces) == [f"{n:06d}" for n in range(16)]
    widths = [float(one["style"].removeprefix("width:").removesuffix("%")) for one in pieces]
    said = [float(number) for number in re.findall(r"documents, ([\d.]+) % full", text)]
    assert abs(sum(widths) - sum(said)) < 0.1 * len(said)
    assert all(share <= 100 for share in said)


def test_without_tokenizers_only_the_documents(folder: Path, tmp_path: Path) -> None:
    omni_shards("show", folder, "--html", tmp_path / "page.html", "--key", "000003", "--key", "000012")
    found, text = page(tmp_path / "page.html")
    assert re.findall(r"<h3>(.*?)</h3>", text) == ["000003", "000012"]
    assert not found.of("i") and "--tokenizers DIR shows the positions" in text


def test_texts_are_escaped_and_damage_is_shown(tmp_path: Path, tokenizers: Path) -> None:
    (tmp_path / "theirs").mkdir()
    head = {"version": 1, "segments": [{"type": "text", "text": "<script>alert('é')</script> & more"}]}
    bad = {"version": 1, "segments": [{"type": "image", "file": "0.png"}]}
    members = [("a.json", json.dumps(head).encode()), ("b.json", json.dumps(bad).encode()), ("b.0.png", b"?")]
    write_index(write_tar(tmp_path / "theirs" / "t.tar", members))
    out = tmp_path / "page.html"
    omni_shards("show", tmp_path / "theirs", "--html", out, "--tokenizers", tokenizers)
    found, text = page(out)
    assert "&lt;script&gt;alert(&#39;é&#39;)&lt;/script&gt; &amp; more" in text
    assert len(found.of("article", "bad")) == 1 and "1 bytes: not a picture" in text


def test_long_documents_are_cut(tmp_path: Path, tokenizers: Path) -> None:
    write_shards([Document((Text("a b " * 3_000),), key="long")], tmp_path / "shards")
    out = tmp_path / "page.html"
    omni_shards("show", tmp_path / "shards", "--html", out, "--tokenizers", tokenizers)
    found, text = page(out)
    assert len([one for one in found.of("i") if "title" in one]) == 1_000
    assert "… 8000 more characters" in text and re.search(r"… \d+ more</span>", text)
    assert "1 documents are longer than a row, and left out" not in text  # no row, no section
    assert 'id="packing"' not in text


def test_json_on_standard_output(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    omni_shards("show", folder, "--key", "000000", "--json", "-")
    said = capsys.readouterr()
    assert json.loads(said.out) == [
        {
            "shard": f"{folder}/shard-000000.tar",
            "key": "000000",
            "source": "image_to_text",
            "label": "eight",
            "segments": [
                {"type": "image", "role": "user", "loss": False, "height": 8, "width": 4},
                {"type": "text", "role": "user", "loss": False, "text": "which digit?"},
                {"type": "text", "role": "assistant", "loss": True, "text": "eight"},
            ],
        }
    ]
    assert "1 of 16 documents" in said.err


def test_an_unknown_key_is_an_error(folder: Path) -> None:
    with pytest.raises(ValueError, match="no document has the key '0000'"):
        omni_shards("show", folder, "--key", "0000")
