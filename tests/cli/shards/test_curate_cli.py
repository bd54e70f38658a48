"""``omni shards curate``: new shards, and a list of what was left out."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from omni.cli.shards.curating import add_curate
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.writer import write_shards
from omni.sequence import Document, Text


def curate(*arguments: object) -> None:
    parser = argparse.ArgumentParser()
    add_curate(parser.add_subparsers())
    args = parser.parse_args(["curate", *map(str, arguments)])
    args.run(args)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    texts = ["one", "two", "one"]
    write_shards(
        [Document((Text(t),), key=str(n), source="web") for n, t in enumerate(texts)], tmp_path / "raw"
    )
    return tmp_path / "raw"


def test_new_shards_and_a_list(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("datatrove", reason="the extra `curate`")
    out, figures = tmp_path / "clean", tmp_path / "figures.json"
    curate(source, out, "--exact", "--json", figures)
    assert [ShardReader(out)[number].key for number in range(2)] == ["0", "1"]
    assert json.loads((out / "not_kept.jsonl").read_text()) == {
        "shard": f"{source}/shard-000000.tar",
        "key": "2",
        "reason": "exact duplicate",
    }
    assert json.loads(figures.read_text()) == {
        "documents": 3,
        "kept": 2,
        "by_source": {"web": 2},
        "dropped": {"exact duplicate": 1},
        "damaged": [],
    }
    said = capsys.readouterr().out.splitlines()
    assert said == [f"{out}: 2 of 3 documents kept", "  source web: 2", "  left out, exact duplicate: 1"]


def test_wrong_arguments(source: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nothing to curate by; name languages, quality, exact or near"):
        curate(source, tmp_path / "out")
    with pytest.raises(ValueError, match="SRC and OUT are the same folder"):
        curate(source, source, "--exact")
    pytest.importorskip("datatrove", reason="the extra `curate`")
    with pytest.raises(ValueError, match=r"none of 3 documents stays: \{'quality: .*': 3\}"):
        curate(source, tmp_path / "out", "--quality")
