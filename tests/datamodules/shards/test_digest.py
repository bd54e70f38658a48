"""The digest of a tar is taken while its documents are read for the index."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from omni.datamodules.shards import digest
from omni.datamodules.shards.dataset import write_summary
from omni.datamodules.shards.digest import DigestingFiles
from omni.datamodules.shards.index import write_index
from omni.datamodules.shards.writer import write_shards
from tests.tiny import tiny_documents, write_tar

TEXT = json.dumps({"version": 1, "segments": [{"type": "text", "text": "a"}]}).encode()
TARS = {
    "plain": [("a.json", TEXT), ("a.0.png", b"picture"), ("b.json", TEXT)],
    "empty": [],
    "long name": [("k" * 300 + ".json", TEXT)],
    "foreign at both ends": [("README", bytes(5000)), ("a.json", TEXT), ("__far__/x", bytes(99_999))],
    "far apart": [("a.json", TEXT), ("__far__/x", bytes(1 << 20)), ("a.txt", b"b")],
}


def sha256(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


@pytest.mark.parametrize("members", TARS.values(), ids=TARS)
def test_it_is_that_of_the_whole_file(
    members: list[tuple[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digest, "_GAP", 4096)
    shard = write_tar(tmp_path / "theirs.tar", members)
    assert write_index(shard).index.head.digest == sha256(shard)


def test_dataset_json_has_it_for_each_shard(tmp_path: Path) -> None:
    write_shards(tiny_documents(20), tmp_path, per_shard=8)
    said = json.loads((tmp_path / "dataset.json").read_text())
    shards = sorted(tmp_path.glob("*.tar"))
    assert [(shard["name"], shard["bytes"], shard["digest"]) for shard in said["shards"]] == [
        (path.name, path.stat().st_size, sha256(path)) for path in shards
    ]
    assert write_summary(tmp_path) == said


def test_nothing_is_read_twice(tmp_path: Path) -> None:
    shard = tmp_path / "a"
    shard.write_bytes(b"0123456789")
    files = DigestingFiles(shard)
    assert [files.read(shard, 2, 3), files.read(shard, 5, 1)] == [b"234", b"5"]
    with pytest.raises(AssertionError, match="at 4, behind"):
        files.read(shard, 4, 1)
    assert files.digest() == sha256(shard)
