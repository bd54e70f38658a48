"""``omni shards``: from a JSONL file to shards, and what the tools say of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image as PILImage

from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.writer import write_shards
from omni.media import write_wav
from omni.sequence import Document, Image, Text
from tests.cli.shards.shards_command import omni_shards
from tests.tiny import SAMPLE_RATE, picture, tiny_documents, tiny_tokenizers, tone, write_tar


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three documents; the media files beside them."""
    PILImage.fromarray(picture(3, 6, 5)).save(tmp_path / "cat.jpg")
    write_wav(tmp_path / "meow.wav", tone(1, 0.1), SAMPLE_RATE)
    cat = {"type": "image", "file": "cat.jpg", "role": "user", "loss": False}
    meow = {"type": "audio", "file": "meow.wav", "role": "assistant"}
    lines = [
        {"id": "cat", "source": "cats", "label": "meow", "segments": [cat, meow]},
        {"id": "prose", "segments": [{"type": "text", "text": "A cat asleep. " * 20}]},
        {"id": "dog", "source": "dogs", "segments": [{"type": "text", "text": "A dog."}]},
    ]
    path = tmp_path / "own.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_import_check_and_show(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, figures = tmp_path / "shards", tmp_path / "reports" / "import.json"
    omni_shards("import", "jsonl", source, out, "--per-shard", 2, "--json", figures)
    counts = ["  source cats: 1", "  source dogs: 1", "  source unknown: 1"]
    assert capsys.readouterr().out.splitlines() == [f"{out}: 3 documents written", *counts]
    assert json.loads(figures.read_text()) == {
        "documents": 3,
        "by_source": {"cats": 1, "dogs": 1, "unknown": 1},
        "duplicates": 0,
        "damaged": [],
    }
    assert sorted(path.name for path in out.glob("*.tar")) == ["shard-000000.tar", "shard-000001.tar"]

    omni_shards("check", out, "--json", figures)
    segments = ["  segment audio: 1", "  segment image: 1", "  segment text: 2"]
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{out}: 3 documents in 2 shards, 0 damaged", *counts, *segments]
    assert json.loads(figures.read_text()) == {
        "shards": 2,
        "documents": 3,
        "by_source": {"cats": 1, "unknown": 1, "dogs": 1},
        "by_modality": {"image": 1, "audio": 1, "text": 2},
        "damaged": [],
    }

    omni_shards("show", out, "--first", 2)
    prose = repr(("A cat asleep. " * 20)[:200])
    assert capsys.readouterr().out.splitlines() == [
        f"{out}/shard-000000.tar[cat]: source 'cats', label 'meow'",
        "  user      image 5 x 6 pixels",
        "* assistant audio 0.10 s at 8000 Hz",
        "",
        f"{out}/shard-000000.tar[prose]: source 'unknown'",
        f"* -         text  {prose}... (280 characters)",
        "",
        "2 of 3 documents",
    ]


def test_bad_lines_stop_the_import_and_are_listed(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source.write_text(
        source.read_text().replace("cat.jpg", "dog.jpg").replace('"text": "A dog."', '"txt": "A"')
    )
    out, figures = tmp_path / "shards", tmp_path / "import.json"
    with pytest.raises(ValueError) as caught:
        omni_shards("import", "jsonl", source, out, "--json", figures)
    first = (
        f"{source}:1: segments[0].file 'dog.jpg': no such file; paths are relative to the folder of own.jsonl, "
        f"{tmp_path}"
    )
    second = (
        f"{source}:3: segments[0].txt: unknown field, expected some of ['type', 'text', 'role', 'loss']; "
        f"did you mean 'text'?"
    )
    assert str(caught.value) == (
        f"{out}: 2 of 3 documents are damaged, more than the allowed share of 0 (--max-damaged); "
        f"first: {first}; all are listed in {out}/not_imported.jsonl"
    )
    assert capsys.readouterr().out.splitlines() == [f"damaged: {first}", f"damaged: {second}"]
    listed = json.loads(figures.read_text())
    assert (listed["documents"], [line["key"] for line in listed["damaged"]]) == (0, ["1", "3"])
    assert [path.name for path in out.iterdir()] == ["not_imported.jsonl"]


def test_some_bad_lines_can_be_allowed(source: Path, tmp_path: Path) -> None:
    source.write_text(source.read_text() + "{\n")
    out = tmp_path / "shards"
    omni_shards("import", "jsonl", source, out, "--max-damaged", 0.25)
    assert len(ShardReader(out)) == 3
    assert len((out / "not_imported.jsonl").read_text().splitlines()) == 1


def test_import_says_what_is_wrong_with_its_arguments(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.jsonl: no such file"):
        omni_shards("import", "jsonl", tmp_path / "none.jsonl", tmp_path / "out")
    with pytest.raises(ValueError, match="--max-damaged is a share of the documents, expected 0 to 1, got 5"):
        omni_shards("import", "jsonl", source, tmp_path / "out", "--max-damaged", 5)
    with pytest.raises(ValueError, match="per_shard must be at least 1 document, got 0"):
        omni_shards("import", "jsonl", source, tmp_path / "out", "--per-shard", 0)


def test_check_lists_every_damaged_part_and_shard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shards(tiny_documents(20), tmp_path, per_shard=5)
    shards = sorted(tmp_path.glob("*.tar"))
    index = ShardReader(tmp_path).indexes[0]
    content = bytearray(shards[0].read_bytes())
    for member in (index.entry(0).members["0.png"], index.entry(3).members["json"]):
        content[member[0]] = 0
    shards[0].write_bytes(content)
    shards[1].write_bytes(shards[1].read_bytes()[:-512])
    (tmp_path / "shard-000002.tar.idx").unlink()
    figures = tmp_path / "check.json"
    with pytest.raises(ValueError, match=r"4 damaged; first: .*000000\.tar\[000000\]\.0\.png: damaged"):
        omni_shards("check", tmp_path, "--decode", "--json", figures)
    found = json.loads(figures.read_text())
    assert (found["shards"], found["documents"], sum(found["by_source"].values())) == (4, 15, 13)
    assert [(Path(one["shard"]).name, one["key"], one["part"], one["kind"]) for one in found["damaged"]] == [
        ("shard-000000.tar", "000000", "0.png", "crc"),
        ("shard-000000.tar", "000003", "json", "crc"),
        ("shard-000001.tar", None, None, "tar"),
        ("shard-000002.tar", None, None, "index"),
    ]
    errors = [damage["error"] for damage in found["damaged"]]
    assert errors[3].startswith(f"{shards[2]}.idx: no index for this shard; `omni shards index {tmp_path}`")
    said = capsys.readouterr().out.splitlines()
    assert said[:5] == [*(f"damaged: {error}" for error in errors), said[4]]
    assert said[4] == f"{tmp_path}: 15 documents in 4 shards, 4 damaged"


def test_index_writes_what_is_missing_or_stale(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shards(tiny_documents(6), tmp_path, per_shard=3)
    for index in tmp_path.glob("*.idx"):
        index.unlink()
    omni_shards("index", tmp_path)
    assert capsys.readouterr().out.splitlines() == [f"{tmp_path}: 6 documents in 2 shards indexed"]
    assert ShardReader(tmp_path)[5].key == "000005"


def test_index_names_damaged_shards_and_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shards(tiny_documents(6), tmp_path, per_shard=3)
    first, second = sorted(tmp_path.glob("*.tar"))
    first.write_bytes(first.read_bytes()[:600])
    (tmp_path / "shard-000001.tar.idx").unlink()
    with pytest.raises(
        ValueError, match=r"1 of 2 shards can't be indexed; first: .*000000\.tar: truncated tar"
    ):
        omni_shards("index", tmp_path)
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith(f"damaged: {first}: truncated tar, 000000.0.png ends at byte ")
    assert said[1] == f"{tmp_path}: 3 documents in 1 shards indexed"
    assert second.with_name("shard-000001.tar.idx").exists()


def test_index_measures_and_stats_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Texts of 1, 3 and 7 tokens between ``<|begin|>`` and ``<|end|>``, a picture of 2 x 3 patches, a bad document."""
    folder, figures = tmp_path / "shards", tmp_path / "figures.json"
    texts = [Document((Text(text),), key=text, source="prose") for text in ("a", "aaa", "aaaaaaa")]
    drawn = Document((Image(picture(1, 8, 12), loss=False), Text("a")), key="drawn", source="pictures")
    write_shards([*texts, drawn], folder, per_shard=2)
    write_tar(folder / "z.tar", [("bad.json", b"{")])
    tokenizers = tiny_tokenizers()
    tokenizers.save(tmp_path / "tokenizers")

    omni_shards("index", folder)
    capsys.readouterr()
    omni_shards("stats", folder)
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"  not measured; `omni shards index {folder} --tokenizers DIR` counts positions"
    )

    omni_shards("index", folder, "--tokenizers", tmp_path / "tokenizers", "--json", figures)
    lengths = [len(tokenizers.text.encode(text)) + 2 for text in ("a", "aaa", "aaaaaaa")]
    text = sum(lengths) + 2 + 4 + 1
    assert capsys.readouterr().out.splitlines() == [
        f"damaged: {folder}/z.tar[bad].json: not JSON (Expecting property name enclosed in double quotes at "
        f"character 2)",
        f"{folder}: 5 documents in 3 shards indexed",
        "  1 of them are damaged, and are left out of training",
        f"  positions text: {text}",
        "  positions image: 6",
        "  positions audio: 0",
        f"  targets text: {sum(lengths) - 3 + 2}",
        "  targets image: 0",
        "  targets audio: 0",
    ]
    said = json.loads(figures.read_text())
    assert [(one["key"], one["part"]) for one in said["damaged"]] == [("bad", "json")]
    assert said["summary"] == json.loads((folder / "dataset.json").read_text())

    omni_shards("stats", folder, "--json", figures)
    found = json.loads(figures.read_text())
    assert (found["documents"], found["parts"]) == (5, 6)
    assert found["by_source"] == {"pictures": 1, "prose": 3, "unknown": 1}
    assert found["lengths"]["by_source"]["pictures"] == {
        "positions": {"text": 7, "image": 6, "audio": 0},
        "targets": {"text": 2, "image": 0, "audio": 0},
    }
    assert found["lengths"]["unmeasured"] == 1
    assert sum(found["lengths"]["histogram"].values()) == 4
    assert found["lengths"]["longest"][0] == {
        "positions": 13,
        "shard": f"{folder}/shard-000001.tar",
        "key": "drawn",
        "source": "pictures",
    }
    shown = capsys.readouterr().out.splitlines()
    assert f"positions: text {text}, image 6, audio 0" in shown
    bars = shown[shown.index("documents by positions:") + 1 :][: len(found["lengths"]["histogram"])]
    assert [line.split()[0] for line in bars] == list(found["lengths"]["histogram"])
    assert f"  13 {folder}/shard-000001.tar[drawn] (pictures)" in shown


def test_many_errors_are_cut_short(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "own.jsonl").write_text("{\n" * 15)
    with pytest.raises(ValueError, match="15 of 15 documents are damaged"):
        omni_shards("import", "jsonl", tmp_path / "own.jsonl", tmp_path / "out")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 11
    assert said[10] == "damaged: 5 more"


@pytest.mark.parametrize("action", ["index", "check", "stats", "show"])
def test_a_folder_without_shards_is_an_error(tmp_path: Path, action: str) -> None:
    with pytest.raises(ValueError, match=r"no shards \(\*\.tar\) here"):
        omni_shards(action, tmp_path)
