"""``omni shards merge``, ``shuffle``, ``tokenize`` and ``quarantine``: what they write, print and put into JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.writer import write_shards
from tests.cli.shards.shards_command import omni_shards
from tests.tiny import tiny_documents, tiny_tokenizers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_shards(tiny_documents(8), tmp_path / "shards", per_shard=4)
    return tmp_path / "shards"


def keys(folder: Path) -> list[str]:
    reader = ShardReader(folder)
    return [reader.place(number)[1] for number in range(len(reader))]


def test_merge_and_shuffle(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_shards(tiny_documents(10)[8:], tmp_path / "more")
    figures = tmp_path / "figures.json"
    omni_shards("merge", folder, tmp_path / "more", tmp_path / "all", "--per-shard", 6, "--json", figures)
    assert keys(tmp_path / "all") == [f"{n:06d}" for n in range(10)]
    assert capsys.readouterr().out.splitlines()[0] == f"{tmp_path}/all: 10 documents in 2 shards"
    found = json.loads(figures.read_text())
    assert (found["documents"], found["shards"], sum(found["by_source"].values())) == (10, 2, 10)
    omni_shards("shuffle", tmp_path / "all", tmp_path / "mixed", "--seed", 3)
    assert keys(tmp_path / "mixed") != keys(tmp_path / "all")
    assert sorted(keys(tmp_path / "mixed")) == keys(tmp_path / "all")


def test_tokenize(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_tokenizers().save(tmp_path / "tokenizers")
    omni_shards("tokenize", folder, tmp_path / "out", "--tokenizers", tmp_path / "tokenizers", "--json", "-")
    said = capsys.readouterr()
    figures = json.loads(said.out)
    assert (figures["documents"], figures["device"], figures["damaged"]) == (8, "cpu", [])
    assert f"{tmp_path}/out: 8 documents, encoded on cpu, 0 left out" in said.err
    assert "0.npy" in ShardReader(tmp_path / "out").members(2)
    assert ShardReader(tmp_path / "out").indexes[0].layout is not None


def damage(folder: Path, number: int) -> None:
    index, row = ShardReader(folder).find(number)
    content = bytearray(index.shard.read_bytes())
    content[index.parts(row)[0].offset] ^= 1
    index.shard.write_bytes(content)


def test_quarantine(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(folder, 5)
    figures = tmp_path / "check.json"
    with pytest.raises(ValueError, match="1 damaged"):
        omni_shards("check", folder, "--json", figures)
    capsys.readouterr()
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    omni_shards("quarantine", folder, "--list", figures)
    listed = "  shard-000001.tar: 000005"
    would = f"{folder}: 1 of 8 documents would be left out; --apply does it"
    assert capsys.readouterr().out.splitlines() == [listed, would]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    omni_shards("quarantine", folder, "--list", figures, "--apply", "--json", tmp_path / "out.json")
    out = tmp_path / "shards-clean"
    assert capsys.readouterr().out.splitlines() == [
        listed,
        f"{out}: 1 of 8 documents left out, 7 kept",
        f"  not measured; `omni shards index {out} --tokenizers DIR` counts positions",
    ]
    assert json.loads((tmp_path / "out.json").read_text()) == {
        "documents": 8,
        "kept": 7,
        "removed": {"shard-000001.tar": ["000005"]},
        "absent": [],
        "applied": True,
        "out": str(out),
    }
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before

    omni_shards("quarantine", folder, "--list", figures, "--apply", "--in-place")
    assert keys(folder) == keys(out) == [f"{n:06d}" for n in range(8) if n != 5]
    omni_shards("check", folder, "--decode")
    capsys.readouterr()
    omni_shards("quarantine", folder, "--list", figures, "--apply", "--in-place")
    assert capsys.readouterr().out.splitlines() == [
        "  1 listed documents are not there (any more)",
        f"{folder}: nothing to leave out",
    ]


@pytest.mark.parametrize("action", ["check", "index", "stats"])
def test_figures_on_standard_output(folder: Path, action: str, capsys: pytest.CaptureFixture[str]) -> None:
    omni_shards(action, folder, "--json", "-")
    said = capsys.readouterr()
    assert json.loads(said.out)["documents"] == 8
    assert f"{folder}: 8 documents" in said.err
