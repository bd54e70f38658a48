"""Web pages with pictures in their places: OBELICS, OmniCorpus, MMC4."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from omni.datamodules.importers.interleaved import read_interleaved
from omni.datamodules.importers.mmc4 import read_mmc4
from tests.datamodules.importers.imported import import_from, jpeg, save, save_lines, shown
from tests.tiny import write_tar

CAT, DOG, OWL = (f"https://example.org/{name}.jpg" for name in ("cat", "dog", "owl"))


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """The cat as img2dataset's files, the dog in its tar, the owl under the hash of its address."""
    folder = tmp_path / "images"
    save(folder / "00000" / "000000000.jpg", jpeg(1, width=3))
    save(folder / "00000" / "000000000.json", json.dumps({"url": CAT, "status": "success"}).encode())
    dog = json.dumps({"url": DOG, "status": "success"}).encode()
    write_tar(folder / "00001.tar", [("000010000.jpg", jpeg(2, width=4)), ("000010000.json", dog)])
    save(folder / f"{hashlib.sha256(OWL.encode()).hexdigest()}.png", jpeg(3, width=7))
    return folder


def obelics(path: Path, *pages: tuple[list[Any], list[str | None]], kind: Any = None) -> Path:
    """A parquet file with the columns of OBELICS."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    texts = pyarrow.array([texts for _, texts in pages], pyarrow.list_(pyarrow.string()))
    pictures = pyarrow.array([pictures for pictures, _ in pages], pyarrow.list_(kind or pyarrow.string()))
    url = json.dumps({"url": "https://example.org", "warc_filename": "a.warc.gz"})
    columns = {"images": pictures, "metadata": ["[]"] * len(pages), "general_metadata": [url] * len(pages)}
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns | {"texts": texts}), path)
    return path


def test_obelics_with_downloaded_pictures(tmp_path: Path, images: Path) -> None:
    source = tmp_path / "data"
    obelics(source / "train-0.parquet", ([None, CAT, None, DOG], ["One.\n\n", None, "Two.", None]))
    obelics(source / "train-1.parquet", ([OWL], [None]), ([None, None], ["Text", " "]))
    found = import_from(read_interleaved, source, name="obelics", images=images)
    assert found.keys == ["train-0-00000001", "train-1-00000001", "train-1-00000002"]
    assert [shown(document) for document in found.documents] == [
        ["* 'One.\\n\\n'", "* image 3x6", "* 'Two.'", "* image 4x6"],
        ["* image 7x6"],
        ["* 'Text'"],
    ]
    assert found.documents[0].source == "obelics"
    assert found.told.steps == sum(found.told.done) == 3


def test_obelics_with_the_pictures_inside(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    page = ([None, jpeg(1, width=3)], ["One", None])
    plain = obelics(tmp_path / "bytes.parquet", page, kind=pyarrow.binary())
    as_hf = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    other = obelics(
        tmp_path / "hf.parquet",
        ([None, {"bytes": jpeg(1, width=3), "path": None}], ["One", None]),
        kind=as_hf,
    )
    for source in (plain, other):
        found = import_from(read_interleaved, source, name="obelics")
        assert shown(found.documents[0]) == ["* 'One'", "* image 3x6"]


def test_pictures_that_are_only_addresses(tmp_path: Path, images: Path) -> None:
    source = obelics(tmp_path / "a.parquet", ([CAT], [None]), ([None, "https://example.org/x"], ["A", None]))
    with pytest.raises(ValueError, match="2 of 2 documents are damaged") as caught:
        import_from(read_interleaved, source, name="obelics")
    how = "fetch the pictures with img2dataset and name their folder by --images"
    assert f"{source}:1: picture '{CAT}' is only an address; {how}" in str(caught.value)
    found = import_from(read_interleaved, source, most=0.5, name="obelics", images=images)
    assert found.aside == [
        ("2", f"{source}:2: picture 'https://example.org/x' is not among the pictures of {images}; {how}")
    ]


def test_only_the_picture_is_left_out_where_that_is_asked_for(tmp_path: Path, images: Path) -> None:
    source = obelics(
        tmp_path / "a.parquet",
        ([None, DOG, "https://example.org/x", None], ["A", None, None, "B"]),
        (["https://example.org/x"], [None]),
    )
    found = import_from(read_interleaved, source, most=1.0, name="o", images=images, missing="picture")
    assert [shown(document) for document in found.documents] == [["* 'A'", "* image 4x6", "* 'B'"]]
    assert [place for place, _ in found.aside] == ["1, picture 2", "2, picture 1", "2"]
    assert found.aside[2][1] == f"{source}:2: an empty page: no text, and no picture that can be used"


def omnicorpus(images: list[Any], texts: list[Any], page_id: str) -> dict[str, Any]:
    """A line of OmniCorpus."""
    general = {"id": page_id, "url": "https://example.org", "domain": [], "fluency_prob": 0.9}
    metadata = [image and {"img_url_sha": "", "width": 5, "height": 6} for image in images]
    return {"general_metadata": general, "images": images, "texts": texts, "metadata": metadata}


def test_omnicorpus(tmp_path: Path, images: Path) -> None:
    source = save_lines(
        tmp_path / "cc.jsonl",
        omnicorpus([OWL, None], [None, "An owl."], "BkiUd.1"),
        omnicorpus([None], ["a", None], "two"),
        omnicorpus([CAT], ["both"], "three"),
        {"text": "no lists"},
        omnicorpus([None], [7], "five"),
        "[]",
        omnicorpus([None], ["again"], "BkiUd.1"),
    )
    found = import_from(read_interleaved, source, most=0.9, name="omnicorpus", images=images)
    assert found.keys == ["BkiUd_1"]
    assert shown(found.documents[0]) == ["* image 7x6", "* 'An owl.'"]
    assert [error.removeprefix(f"{source}:") for _, error in found.aside] == [
        "2: images and texts are of unequal length, 1 and 2",
        "3: both a picture and a text at place 0; expected one of them",
        "4: expected lists `images` and `texts`, got the columns ['text']",
        "5: text: expected a string, got 7",
        "6: this line: expected a JSON object with segments, got []",
        f"7: key 'BkiUd_1' is also that of {source}:1",
    ]


def test_a_damaged_parquet_file_is_set_aside(tmp_path: Path) -> None:
    source = tmp_path / "data"
    whole = obelics(source / "a.parquet", ([None], ["A"]))
    save(source / "b.parquet", whole.read_bytes()[:-20])
    found = import_from(read_interleaved, source, most=0.5, name="obelics")
    assert found.keys == ["a-00000001"]
    assert found.aside[0][1].startswith(f"{source}/b.parquet:all: damaged parquet file (")


def mmc4(sentences: list[str], *pictures: tuple[str, int]) -> dict[str, Any]:
    """A line of Multimodal C4."""
    infos = [
        {
            "image_name": name,
            "raw_url": f"https://example.org/{name}",
            "matched_text_index": index,
            "matched_sim": 0.3,
            "face_detections": None,
        }
        for name, index in pictures
    ]
    return {
        "text_list": sentences,
        "image_info": infos,
        "url": "https://example.org",
        "could_have_url_duplicate": 0,
    }


def test_mmc4_puts_each_picture_before_its_sentence(tmp_path: Path, images: Path) -> None:
    save(images / "b9.jpg", jpeg(5, width=2))
    source = save_lines(
        tmp_path / "docs_shard_7.jsonl",
        mmc4(["A.", "B.", "C.", "D."], ("b9.jpg", 2), ("cat.jpg", 0), ("b9.jpg", 2)),
        mmc4(["Only text."]),
    )
    found = import_from(read_mmc4, source, name="mmc4", images=images)
    assert found.keys == ["docs_shard_7-00000001", "docs_shard_7-00000002"]
    assert [shown(document) for document in found.documents] == [
        ["* image 3x6", "* 'A. B.'", "* image 2x6", "* image 2x6", "* 'C. D.'"],
        ["* 'Only text.'"],
    ]
    assert found.told.steps == sum(found.told.done) == source.stat().st_size


def test_damaged_lines_of_mmc4(tmp_path: Path, images: Path) -> None:
    save(images / "bad.jpg", b"no picture")
    source = save_lines(
        tmp_path / "a.jsonl",
        mmc4(["A."]),
        mmc4(["A."], ("b9.jpg", 1)),
        mmc4(["A."], ("gone.jpg", 0)),
        mmc4(["A."], ("bad.jpg", 0)),
        {"text_list": ["A."]},
    )
    found = import_from(read_mmc4, source, most=0.9, name="mmc4", images=images)
    assert [error.removeprefix(f"{source}:").split(";")[0] for _, error in found.aside] == [
        "2: image_info[0].matched_text_index: expected 0 to 0, got 1",
        f"3: picture 'https://example.org/gone.jpg' is not among the pictures of {images}",
        "4: 10 bytes: not a picture, expected one of PNG, JPEG, GIF, WEBP, BMP, TIFF, PPM, JPEG2000",
        "5: expected lists `text_list` and `image_info`, got the fields ['text_list']",
    ]


def test_the_folder_of_pictures_must_exist(tmp_path: Path) -> None:
    source = save_lines(tmp_path / "a.jsonl", mmc4(["A."]))
    with pytest.raises(ValueError, match="no such folder; expected the one with the downloaded pictures"):
        import_from(read_mmc4, source, name="mmc4", images=tmp_path / "none")
