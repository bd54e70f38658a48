"""Writing in several processes: the same bytes, all or nothing, and never twice."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from omni.datamodules.shards.damage import Damage
from omni.datamodules.shards.parallel import Written, write_shards_parallel
from omni.datamodules.shards.reader import ShardReader
from omni.sequence import Document, Text


def some(start: int, stop: int, log: Path | None = None, fail: Path | None = None) -> Iterator[Document]:
    """Documents; says in ``log`` that it was called, and stops half-way where ``fail`` exists."""
    if log is not None:
        with log.open("a") as file:
            file.write(f"{start}\n")
    for number in range(start, stop):
        if fail is not None and fail.exists() and number > start:
            raise ValueError(f"document {number} can't be made")
        yield Document((Text(f"number {number}"),), key=f"{number:03d}", source="numbers")


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_one_shard_for_each_factory_that_makes_documents(tmp_path: Path) -> None:
    factories = [partial(some, 0, 3), partial(some, 3, 3), partial(some, 3, 7)]
    told: list[int] = []
    written = write_shards_parallel(factories, tmp_path, "numbers", report=told.append)
    assert written == Written({"numbers": 7}, [])
    reader = ShardReader(tmp_path)
    assert [reader.place(n) for n in range(7)] == [
        (f"{tmp_path}/shard-00000{int(n >= 3)}.tar", f"{n:03d}") for n in range(7)
    ]
    assert told == [0, 1, 2, 3]
    assert not (tmp_path / ".writing").exists()


def test_the_number_of_processes_changes_nothing(tmp_path: Path) -> None:
    factories = [partial(some, 4 * n, 4 * n + 4) for n in range(3)]
    for workers in (1, 2):
        write_shards_parallel(factories, tmp_path / str(workers), "numbers", workers)
    assert files(tmp_path / "1") == files(tmp_path / "2")


def test_a_writing_that_was_stopped_goes_on(tmp_path: Path) -> None:
    out, log, fail = tmp_path / "out", tmp_path / "log", tmp_path / "fail"
    factories = [partial(some, 0, 2, log), partial(some, 2, 4, log, fail), partial(some, 4, 6, log)]
    fail.touch()
    with pytest.raises(ValueError, match=r"1 of 3 shards failed; .*; shard 1: document 3 can't be made"):
        write_shards_parallel(factories, out, "numbers")
    assert [path.name for path in out.iterdir()] == [".writing"]
    with pytest.raises(
        ValueError, match=r"\.writing: the writing of 'numbers' was begun here, this one is 'x'"
    ):
        write_shards_parallel(factories, out, "x")
    fail.unlink()
    told: list[int] = []
    write_shards_parallel(factories, out, "numbers", report=told.append)
    assert log.read_text().split() == ["0", "2", "4", "2"]
    assert told == [2, 3]
    assert [ShardReader(out)[n].key for n in range(6)] == [f"00{n}" for n in range(6)]


def test_keys_that_come_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="document key '002' comes twice; keys must be unique"):
        write_shards_parallel([partial(some, 0, 3), partial(some, 2, 4)], tmp_path, "numbers")
    assert not list(tmp_path.glob("*.tar"))


def test_nothing_to_write(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no documents to write"):
        write_shards_parallel([partial(some, 0, 0)], tmp_path, "numbers")
    with pytest.raises(ValueError, match="identity is empty"):
        write_shards_parallel([partial(some, 0, 1)], tmp_path, "")


def with_damage(start: int) -> Iterator[Document | Damage]:
    yield from some(start, start + 2)
    yield Damage("source", f"bad {start}", None, "decode", "can't be decoded")


def test_what_is_left_out_is_told_before_anything_appears(tmp_path: Path) -> None:
    factories = [partial(with_damage, 0), partial(with_damage, 2)]
    left_out = [Damage("source", f"bad {n}", None, "decode", "can't be decoded") for n in (0, 2)]

    def refuse(written: Written) -> None:
        assert written == Written({"numbers": 4}, left_out)
        raise ValueError("too many")

    with pytest.raises(ValueError, match="too many"):
        write_shards_parallel(factories, tmp_path, "numbers", accept=refuse)
    assert not list(tmp_path.glob("*.tar"))
    never = [partial(some, 0, 2, None, tmp_path), partial(some, 2, 4, None, tmp_path)]
    assert write_shards_parallel(never, tmp_path, "numbers") == Written({"numbers": 4}, left_out)
    assert len(ShardReader(tmp_path)) == 4
