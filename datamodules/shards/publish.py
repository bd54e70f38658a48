"""Moves finished shards to their places: all of them, though it may be killed between any two moves.

What is moved is written down before the first move. From then on the same writing makes nothing anew: a shard that
isn't in its place yet lies beside the list, any other is where it belongs.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from omni.datamodules.shards.dataset import SUMMARY_FILE, write_summary
from omni.datamodules.shards.index import write_whole
from omni.datamodules.shards.shard_index import INDEX_SUFFIX, index_path

WRITING = ".writing"
"""Folder in which shards are made."""
WRITTEN = ".written"
"""Its name when all shards have left it."""
MOVES_FILE = "publish.json"


def publish(tars: list[Path], folder: Path, identity: str = "") -> dict[str, int]:
    """Put indexed tars of ``FOLDER/.writing`` in the place of the shards in ``folder``, numbered in this order.

    Args:
        tars: with their indexes.
        folder: the shards that are there are replaced; until the last is, the folder is refused by readers.
        identity: of the writing, by which ``is_publishing`` knows it again.

    Returns:
        the number of documents by source.
    """
    moves = {"identity": identity, "tars": [tar.name for tar in tars]}
    write_whole(folder / WRITING / MOVES_FILE, json.dumps(moves).encode())
    return finish_publishing(folder)


def is_publishing(folder: Path, identity: str) -> bool:
    """Whether the writing of this identity has made all its shards, and was stopped while it moved them."""
    path = folder / WRITING / MOVES_FILE
    return path.exists() and json.loads(path.read_text())["identity"] == identity


def finish_publishing(folder: Path) -> dict[str, int]:
    """Do the moves that are left, and clear up; returns the number of documents by source."""
    writing = folder / WRITING
    tars = [writing / name for name in json.loads((writing / MOVES_FILE).read_text())["tars"]]
    places = {tar: folder / f"shard-{number:06d}.tar" for number, tar in enumerate(tars)}
    moved = {place for tar, place in places.items() if not tar.exists()}
    (folder / SUMMARY_FILE).unlink(missing_ok=True)
    kept = {index_path(place) for place in moved}
    for old in folder.glob(f"shard-*.tar{INDEX_SUFFIX}"):  # first: a shard without its index is refused
        if old not in kept:
            old.unlink()
    for old in folder.glob("shard-*.tar"):
        if old not in places.values():
            old.unlink()
    for tar, place in places.items():
        if place not in moved:
            tar.replace(place)
        if index_path(tar).exists():
            index_path(tar).replace(index_path(place))
    by_source: dict[str, int] = write_summary(folder)["by_source"]
    writing.replace(folder / WRITTEN)  # at once: a half removed folder would look like a writing that goes on
    shutil.rmtree(folder / WRITTEN)
    return by_source
