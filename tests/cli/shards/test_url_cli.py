"""`omni shards stats` and `show` on shards at a URL say what they say of the folder itself."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from omni.cli.main import main
from omni.datamodules.shards.writer import write_shards
from tests.datamodules.remote.stores import http_store
from tests.tiny import tiny_documents


@pytest.mark.parametrize("action", ["stats", "show"])
def test_a_url_gives_the_figures_of_its_folder(
    action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # of the cache
    folder = tmp_path / "shards"
    write_shards(tiny_documents(12), folder, per_shard=5)
    figures = []
    with http_store() as store:
        for path in folder.iterdir():
            store.put(path.name, path.read_bytes())
        for number, where in enumerate((str(folder), store.url)):
            main(["shards", action, where, "--json", str(tmp_path / f"{number}.json")])
            figures.append(json.loads((tmp_path / f"{number}.json").read_text()))
        fetched = {name for method, name in store.requests if method == "GET" and name.endswith(".tar")}
    assert json.loads(json.dumps(figures[0]).replace(str(folder), store.url)) == figures[1]
    assert fetched == (set() if action == "stats" else {"shard-000000.tar"})
