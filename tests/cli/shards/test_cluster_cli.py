"""Bulk work on a local Ray of two workers: what processes of this machine write, byte for byte."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from omni.datamodules.shards.writer import write_shards
from tests.cli.shards.shards_command import omni_shards
from tests.datamodules.importers.imported import save
from tests.tiny import tiny_documents, tiny_tokenizers

ray = pytest.importorskip("ray", reason="the extra `cluster`")
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """The commands use the connection that there is."""
    paths = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    ray.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"env_vars": paths},
    )
    yield
    ray.shutdown()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_tokenizers().save(tmp_path / "tokenizers")
    write_shards(tiny_documents(12), tmp_path / "shards", per_shard=4)
    return tmp_path / "shards"


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_tokenize_and_shuffle(folder: Path, tmp_path: Path) -> None:
    for name, options in (("here", ()), ("there", ("--ray", "local", "--workers", 2))):
        omni_shards(*("tokenize", folder, tmp_path / name, "--tokenizers", tmp_path / "tokenizers", *options))
        omni_shards("shuffle", folder, tmp_path / f"{name}-shuffled", "--per-shard", 5, *options)
    assert files(tmp_path / "here") == files(tmp_path / "there")
    assert files(tmp_path / "here-shuffled") == files(tmp_path / "there-shuffled")


def test_check_and_stats(folder: Path, tmp_path: Path) -> None:
    shard = folder / "shard-000001.tar"
    content = bytearray(shard.read_bytes())
    content[600] ^= 1
    shard.write_bytes(content)
    for name, options in (("here", ()), ("there", ("--ray", "local"))):
        with pytest.raises(ValueError, match="1 damaged"):
            omni_shards("check", folder, "--json", tmp_path / f"check-{name}.json", *options)
        omni_shards("stats", folder, "--json", tmp_path / f"stats-{name}.json", *options)
    for action in ("check", "stats"):
        here, there = (
            json.loads((tmp_path / f"{action}-{name}.json").read_text()) for name in ("here", "there")
        )
        assert here == there


def test_import(tmp_path: Path) -> None:
    for number in range(5):
        save(tmp_path / "books" / f"{number}.txt", f"Book {number}.".encode())
    out = tmp_path / "out"
    omni_shards("import", "text", tmp_path / "books", out, "--per-shard", 2, "--ray", "local")
    omni_shards("import", "text", tmp_path / "books", tmp_path / "whole", "--per-shard", 2)
    assert files(out) == files(tmp_path / "whole")
