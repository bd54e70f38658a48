"""A writing that is killed, at every single file operation: no half shard, and a second start finishes it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from omni.datamodules.shards.parallel import write_shards_parallel
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.writer import write_shards
from omni.sequence import Document, Text

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks a process with an audit hook")
SHARDS, PER_SHARD = 3, 3
KEYS = [f"{number:03d}" for number in range(SHARDS * PER_SHARD)]


def documents(start: int, stop: int, log: Path) -> Iterator[Document]:
    """Says in ``log`` when it begins. Large, so that a shard is on the disk in part while it is written."""
    with log.open("a") as file:
        file.write(f"{start // PER_SHARD}\n")
    for number in range(start, stop):
        sys.audit("tests.document", number)
        yield Document((Text(f"number {number} " * 1_000),), key=KEYS[number], source="numbers")


def alone(folder: Path, log: Path) -> None:
    write_shards(documents(0, len(KEYS), log), folder, PER_SHARD)


def shard_by_shard(folder: Path, log: Path) -> None:
    starts = range(0, len(KEYS), PER_SHARD)
    factories = [partial(documents, start, start + PER_SHARD, log) for start in starts]
    write_shards_parallel(factories, folder, "numbers")


Writing = Callable[[Path, Path], None]
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate")


def watch(folder: Path, seen: Callable[[], None]) -> None:
    """Call ``seen`` before each operation that changes something in ``folder``, and before each document."""

    def changes(event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            if not isinstance(arguments[2], int) or not arguments[2] & (os.O_WRONLY | os.O_RDWR):
                return False
        elif event not in CHANGES:
            return False
        path = arguments[0]
        if not isinstance(path, str | os.PathLike):
            return False
        name = os.fspath(path)  # relative where a whole folder is removed
        return name == str(folder) or name.startswith(f"{folder}/") or not name.startswith("/")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "tests.document" or changes(event, arguments):
            seen()

    sys.addaudithook(hook)


def write_and_die(writing: Writing, folder: Path, log: Path, operation: int) -> None:
    """In a process of its own: a hook can't be removed."""
    left = [operation]

    def seen() -> None:
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left[0] -= 1

    watch(folder, seen)
    writing(folder, log)


def killed_at(writing: Writing, folder: Path, log: Path, operation: int) -> bool:
    """Whether the writing was killed before this operation; else it has come to its end."""
    context = multiprocessing.get_context("fork")
    process = context.Process(target=write_and_die, args=(writing, folder, log, operation))
    process.start()
    process.join(60)
    assert process.exitcode in (-signal.SIGKILL, 0), f"exit code {process.exitcode}"
    return process.exitcode == -signal.SIGKILL


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("*") if path.is_file()}


@pytest.mark.parametrize("writing", [alone, shard_by_shard])
def test_a_killed_writing_leaves_no_half_shard_and_is_finished_by_the_next(
    writing: Writing, tmp_path: Path
) -> None:
    writing(tmp_path / "whole", tmp_path / "whole.log")
    expected = files(tmp_path / "whole")
    operation = published = 0
    while True:  # until it isn't killed
        folder, log = tmp_path / f"{operation}", tmp_path / f"{operation}.log"
        log.touch()
        if not killed_at(writing, folder, log, operation):
            break
        left = {name: data for name, data in files(folder).items() if not name.endswith(".tmp")}
        assert left == {name: expected[name] for name in left}, (
            f"half a file, killed at operation {operation}"
        )
        assert "dataset.json" not in left or left == expected
        begun = log.read_text().split()
        finished, moving = not (folder / ".writing").exists(), (folder / ".writing" / "publish.json").exists()
        published += moving
        writing(folder, log)
        assert files(folder) == expected and not list(folder.glob(".writ*")), operation
        reader = ShardReader(folder)
        assert [reader[number].key for number in range(len(reader))] == KEYS
        if writing is shard_by_shard and not (finished and "dataset.json" in left):
            again = set(begun) & set(log.read_text().split()[len(begun) :])
            allowed = set() if moving else set(begun[-1:])
            assert again <= allowed, f"made again: {again}, killed at operation {operation}"
        operation += 1
    assert operation > len(KEYS) + 4 * SHARDS, f"only {operation} operations were seen"
    assert published >= 2 * SHARDS, f"killed {published} times while shards were moved"


def test_old_shards_stay_until_the_new_ones_are_whole(tmp_path: Path) -> None:
    """Killed while documents are written, over a folder that has others."""
    folder, log = tmp_path / "folder", tmp_path / "log"
    old = [Document((Text("old"),), key="old")]
    write_shards(old, folder)
    before = files(folder)
    for operation in (4, 9, 14):
        assert killed_at(shard_by_shard, folder, log, operation)
        assert files(folder) == before
    shard_by_shard(folder, log)
    assert len(ShardReader(folder)) == len(KEYS)


def test_a_killed_move_over_older_shards_keeps_none_of_them(tmp_path: Path) -> None:
    """At every operation behind the first move: what was moved is kept, what is old goes."""
    shard_by_shard(tmp_path / "whole", tmp_path / "whole.log")
    expected = files(tmp_path / "whole")
    moves = 0
    for operation in range(1_000):
        folder, log = tmp_path / f"{operation}", tmp_path / f"{operation}.log"
        write_shards([Document((Text("old"),), key=f"old{number}") for number in range(5)], folder, 1)
        if not killed_at(shard_by_shard, folder, log, operation):
            break
        if not (folder / ".writing" / "publish.json").exists():
            continue
        moves += 1
        made = log.read_text()
        shard_by_shard(folder, log)
        assert files(folder) == expected and log.read_text() == made, operation
    assert moves >= 2 * SHARDS


def test_what_another_writing_left_is_not_published(tmp_path: Path) -> None:
    """One that is written alone starts anew; one in parts takes nothing of it."""
    folder, log = tmp_path / "folder", tmp_path / "log"
    operation = 0
    while not (folder / ".writing" / "publish.json").exists():
        assert killed_at(alone, folder, log, operation)
        operation += 1
    write_shards_parallel([partial(documents, 0, 1, log)], folder, "one number")
    assert len(ShardReader(folder)) == 1
