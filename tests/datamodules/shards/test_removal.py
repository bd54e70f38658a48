"""Listed documents leave their shards, and nothing else does."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from omni.datamodules.quarantine import Quarantine
from omni.datamodules.shards import removal
from omni.datamodules.shards.check import check_shards
from omni.datamodules.shards.damage import DocumentError
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.removal import lists_of, plan_removal, remove_in_place, remove_to
from omni.datamodules.shards.writer import write_shards
from tests.tiny import tiny_documents


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three shards of four documents, of which 000001, 000006 and 000007 are damaged."""
    write_shards(tiny_documents(12), tmp_path / "shards", per_shard=4)
    reader = ShardReader(tmp_path / "shards")
    for number in (1, 6, 7):
        index, row = reader.find(number)
        content = bytearray(index.shard.read_bytes())
        content[index.parts(row)[0].offset] ^= 1
        index.shard.write_bytes(content)
    return tmp_path / "shards"


def listed(folder: Path, numbers: tuple[int, ...] = (1, 6, 7)) -> Path:
    """What training leaves."""
    aside = Quarantine(folder, 1.0, warn=False)
    for number in numbers:
        shard, key = ShardReader(folder).place(number)
        aside.add(f"/elsewhere/{Path(shard).name}", key, DocumentError("damaged", part="json"))
    aside.close(12)
    return aside.path


def documents(folder: Path) -> list[tuple[str, dict[str, bytes]]]:
    reader = ShardReader(folder)
    return [(reader.place(number)[1], reader.members(number)) for number in range(len(reader))]


def kept(folder: Path) -> list[tuple[str, dict[str, bytes]]]:
    reader = ShardReader(folder)
    return [(f"{n:06d}", reader.members(n)) for n in range(12) if n not in (1, 6, 7)]


def test_a_plan_says_what_would_go(folder: Path) -> None:
    plan = plan_removal(folder, lists_of(folder, [listed(folder)]))
    assert plan.figures() == {
        "documents": 12,
        "kept": 9,
        "removed": {"shard-000000.tar": ["000001"], "shard-000001.tar": ["000006", "000007"]},
        "absent": [],
    }


def test_to_another_folder(folder: Path, tmp_path: Path) -> None:
    before, expected = {path.name: path.read_bytes() for path in folder.glob("*.tar*")}, kept(folder)
    out = tmp_path / "out"
    remove_to(plan_removal(folder, [listed(folder)]), out)
    assert documents(out) == expected
    assert check_shards(out, decode=True).damaged == []
    assert {path.name: path.read_bytes() for path in folder.glob("*.tar*")} == before


@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", [1, 2])
def test_in_place(folder: Path, workers: int) -> None:
    expected, untouched = kept(folder), (folder / "shard-000002.tar").stat()
    remove_in_place(plan_removal(folder, [listed(folder)]), workers)
    assert documents(folder) == expected
    assert check_shards(folder, decode=True).damaged == []
    assert (folder / "shard-000002.tar").stat() == untouched
    assert json.loads((folder / "dataset.json").read_text())["documents"] == 9
    assert not (folder / ".writing").exists()
    again = plan_removal(folder, lists_of(folder, []))
    assert (again.documents, again.removed) == (0, {})
    assert again.absent == [
        ("shard-000000.tar", "000001"),
        ("shard-000001.tar", "000006"),
        ("shard-000001.tar", "000007"),
    ]


def test_a_stop_leaves_old_or_new_shards(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected, plan = kept(folder), plan_removal(folder, [listed(folder)])
    write_index, calls = removal.write_index, list[Path]()

    def stopped(tar: Path, layout: None) -> None:
        calls.append(tar)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write_index(tar, layout)

    monkeypatch.setattr(removal, "write_index", stopped)
    with pytest.raises(KeyboardInterrupt):
        remove_in_place(plan)
    monkeypatch.undo()
    assert [len(index) for index in ShardReader(folder).indexes] == [3, 4, 4]
    remove_in_place(plan_removal(folder, lists_of(folder, [])))
    assert documents(folder) == expected


def test_a_list_of_check_and_a_shard_that_is_cut_off(folder: Path, tmp_path: Path) -> None:
    last = folder / "shard-000002.tar"
    offset = ShardReader(folder).indexes[2].parts(3)[0].offset
    last.write_bytes(last.read_bytes()[: offset + 5])
    figures = tmp_path / "check.json"
    figures.write_text(json.dumps({"damaged": [asdict(one) for one in check_shards(folder).damaged]}))
    remove_in_place(plan_removal(folder, [figures]))
    assert [key for key, _ in documents(folder)] == [f"{n:06d}" for n in (0, 2, 3, 4, 5, 8, 9, 10)]
    assert check_shards(folder, decode=True).damaged == []


def test_zeros_that_are_cut_off_cost_no_document(tmp_path: Path) -> None:
    write_shards(tiny_documents(4), tmp_path)
    shard = tmp_path / "shard-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-512])
    figures = tmp_path / "check.json"
    figures.write_text(json.dumps({"damaged": [asdict(one) for one in check_shards(tmp_path).damaged]}))
    plan = plan_removal(tmp_path, [figures])
    assert plan.removed == {"shard-000000.tar": frozenset()}
    remove_in_place(plan)
    assert len(ShardReader(tmp_path)) == 4


def test_a_shard_of_nothing_but_damage_goes(folder: Path) -> None:
    remove_in_place(plan_removal(folder, [listed(folder, (1, 4, 5, 6, 7))]))
    assert [path.name for path in sorted(folder.glob("*.tar"))] == ["shard-000000.tar", "shard-000002.tar"]


def test_damage_that_is_not_listed_stops_it(folder: Path, tmp_path: Path) -> None:
    plan = plan_removal(folder, [listed(folder, (1, 6))])
    with pytest.raises(ValueError, match=r"\[000007\].*it is damaged, but not listed: `omni shards check"):
        remove_in_place(plan)
    assert len(ShardReader(folder).indexes[1]) == 4


def test_wrong_lists(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no quarantine\.jsonl here"):
        lists_of(folder, [])
    bad = tmp_path / "bad.json"
    bad.write_text("[]")
    with pytest.raises(
        ValueError, match=r"bad\.json: expected quarantine\.jsonl, or what `omni shards check"
    ):
        plan_removal(folder, [bad])
    bad.write_text(json.dumps({"damaged": [{"shard": "x/none.tar", "key": "a"}]}))
    with pytest.raises(ValueError, match=r"lists none\.tar, which is not in"):
        plan_removal(folder, [bad])
    with pytest.raises(ValueError, match="all 12 documents are listed; nothing would be left"):
        plan_removal(folder, [listed(folder, tuple(range(12)))])
    with pytest.raises(ValueError, match=r"none\.json: no such list"):
        plan_removal(folder, [tmp_path / "none.json"])
