"""The tools that read shards do so at a URL as in the folder itself; those that write say what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from omni.cli.main import main
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.writer import write_shards
from tests.datamodules.remote.stores import Store, http_store
from tests.tiny import tiny_documents, tiny_tokenizers


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three shards of 12 documents."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # of the cache
    write_shards(tiny_documents(12), tmp_path / "shards", per_shard=5)
    return tmp_path / "shards"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    """A server that has the folder."""
    with http_store() as store:
        for path in folder.iterdir():
            store.put(path.name, path.read_bytes())
        yield store


def figures_of(tmp_path: Path, *arguments: str) -> dict[str, object]:
    main(["shards", *arguments, "--json", str(tmp_path / "figures.json")])
    found: dict[str, object] = json.loads((tmp_path / "figures.json").read_text())
    return found


@pytest.mark.parametrize("action", ["stats", "show", "check"])
def test_a_url_gives_the_figures_of_its_folder(
    action: str, folder: Path, store: Store, tmp_path: Path
) -> None:
    local = figures_of(tmp_path, action, str(folder))
    assert figures_of(tmp_path, action, store.url) == json.loads(
        json.dumps(local).replace(str(folder), store.url)
    )
    fetched = {name for method, name in store.requests if method == "GET" and name.endswith(".tar")}
    assert len(fetched) == {"stats": 0, "show": 1, "check": 3}[action]


def damage(folder: Path) -> None:
    """A flipped bit, a shard that is cut off, and a key that comes twice."""
    reader = ShardReader(folder)
    shards = [index.shard for index in reader.indexes]
    part = reader.indexes[0].parts(1)[0]
    content = bytearray(shards[0].read_bytes())
    content[part.offset + part.size // 2] ^= 1
    shards[0].write_bytes(content)
    shards[1].write_bytes(shards[1].read_bytes()[:3000])
    for name in (shards[2].name, f"{shards[2].name}.idx"):
        (folder / name.replace("000002", "000003")).write_bytes((folder / name).read_bytes())


def test_check_lists_the_damage_at_a_url(folder: Path, tmp_path: Path) -> None:
    """That of the folder, part by part, though the cache would refuse such shards for training."""
    damage(folder)
    with http_store() as store:
        for path in folder.iterdir():
            store.put(path.name, path.read_bytes())
        found = []
        for where in (str(folder), store.url):
            assert main(["shards", "check", where, "--json", str(tmp_path / "figures.json")]) == 2
            found.append(json.loads((tmp_path / "figures.json").read_text().replace(str(folder), store.url)))
    assert found[0] == found[1]
    kinds = [one["kind"] for one in found[1]["damaged"]]
    assert {"crc", "key"} <= set(kinds)
    assert all(one["shard"].startswith(store.url) for one in found[1]["damaged"])


def test_merge_and_tokenize_read_a_url(folder: Path, store: Store, tmp_path: Path) -> None:
    tiny_tokenizers().save(tmp_path / "tokenizers")
    options = {"merge": ("--per-shard", "4"), "tokenize": ("--tokenizers", str(tmp_path / "tokenizers"))}
    for action, more in options.items():
        for where, out in ((str(folder), "local"), (store.url, "remote")):
            main(["shards", action, where, str(tmp_path / out), *more, "--workers", "1"])
        local, remote = (ShardReader(tmp_path / out) for out in ("local", "remote"))
        assert [local.members(n) for n in range(12)] == [remote.members(n) for n in range(12)]


@pytest.mark.parametrize(
    "arguments",
    [
        ("index", "URL"),
        ("quarantine", "URL", "--apply"),
        ("merge", "SRC", "URL"),
        ("tokenize", "SRC", "URL", "--tokenizers", "T"),
        ("curate", "SRC", "URL"),
        ("import", "text", "SRC", "URL"),
        ("import", "text", "URL", "OUT"),
    ],
)
def test_what_is_written_is_a_local_folder(
    arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["shards", *(one.replace("URL", "s3://bucket/data") for one in arguments)])
    said = capsys.readouterr().err
    assert "s3://bucket/data: a URL, where this command needs a folder on a local disk" in said
    assert "aws s3 cp --recursive" in said
