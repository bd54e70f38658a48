"""Damaged documents: set aside, listed, and an error beyond the allowed share."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

from omni.datamodules.quarantine import Quarantine, RunningQuarantine
from omni.datamodules.shards.damage import DocumentError


def filled(folder: Path, most: float) -> Quarantine:
    quarantine = Quarantine(folder, most)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for shard, key in (("a.tar", "3"), ("a.tar", "4"), ("b.tar", "1")):
            quarantine.add(shard, key, ValueError(f"{shard}[{key}].json: not JSON"))
    return quarantine


def test_damaged_documents_are_listed(tmp_path: Path) -> None:
    filled(tmp_path, 0.03).close(100)
    lines = (tmp_path / "quarantine.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == [
        {"shard": "a.tar", "key": "3", "error": "a.tar[3].json: not JSON"},
        {"shard": "a.tar", "key": "4", "error": "a.tar[4].json: not JSON"},
        {"shard": "b.tar", "key": "1", "error": "b.tar[1].json: not JSON"},
    ]


def test_more_than_the_allowed_share_is_an_error_that_names_the_first(tmp_path: Path) -> None:
    with pytest.raises(ValueError) as caught:
        filled(tmp_path, 0.029).close(100)
    assert str(caught.value) == (
        f"{tmp_path}: 3 of 100 documents are damaged, more than the allowed share of 0.029 (data.max_damaged); "
        f"first: a.tar[3].json: not JSON; all are listed in {tmp_path}/quarantine.jsonl"
    )
    assert len((tmp_path / "quarantine.jsonl").read_text().splitlines()) == 3


def test_the_first_of_each_shard_is_a_warning(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, 1.0)
    with pytest.warns(UserWarning, match=r"damaged document set aside: a\.tar\[3\]"):
        quarantine.add("a.tar", "3", ValueError("a.tar[3]"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quarantine.add("a.tar", "4", ValueError("a.tar[4]"))
    with pytest.warns(UserWarning, match=r"b\.tar\[1\]"):
        quarantine.add("b.tar", "1", ValueError("b.tar[1]"))


def test_nothing_damaged_leaves_no_list(tmp_path: Path) -> None:
    (tmp_path / "quarantine.jsonl").write_text("of an earlier reading")
    Quarantine(tmp_path, 0.0).close(100)
    assert list(tmp_path.iterdir()) == []


def test_a_list_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    quarantine = filled(tmp_path / "list", 1.0)
    (tmp_path / "list").write_text("a file where a folder should be")
    with pytest.warns(UserWarning, match="the list of damaged documents can't be written"):
        quarantine.close(100)


@pytest.mark.parametrize("most", [-0.1, 5.0])
def test_a_share_is_from_nothing_to_all(tmp_path: Path, most: float) -> None:
    with pytest.raises(ValueError, match=f"data.max_damaged is a share .* expected 0 to 1, got {most:g}"):
        Quarantine(tmp_path, most)


def test_the_place_of_a_damaged_part_is_listed_and_each_once(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, 1.0, warn=False)
    error = DocumentError("a.tar[3].0.png: damaged", part="0.png", offset=1536, kind="crc")
    for _ in range(2):  # in a later epoch it is met again
        quarantine.add("a.tar", "3", error)
    quarantine.close(1)
    (line,) = (tmp_path / "quarantine.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "shard": "a.tar",
        "key": "3",
        "part": "0.png",
        "offset": 1536,
        "error": "a.tar[3].0.png: damaged",
    }


def test_reading_stops_as_soon_as_too_many_are_damaged(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, 0.02, warn=False, documents=100)
    for key in "12":
        quarantine.add("a.tar", key, ValueError(key))
    with pytest.raises(ValueError, match=r"3 of 100 documents are damaged, .* first: 1; all are listed in"):
        quarantine.add("a.tar", "3", ValueError("3"))


def test_reading_stops_at_many_in_a_row(tmp_path: Path) -> None:
    quarantine = Quarantine(tmp_path, 1.0, warn=False, in_a_row=3)
    for key in "1234":
        quarantine.add("a.tar", key, ValueError(key))
        if key == "2":
            quarantine.good()
    with pytest.raises(ValueError, match="3 documents in a row are damaged; first: 1; all are listed in"):
        quarantine.add("a.tar", "5", ValueError("5"))


# ------------------------------------------------------------------ while a run goes on


def test_a_running_list_is_written_line_by_line(tmp_path: Path) -> None:
    quarantine = RunningQuarantine(tmp_path, 1.0, documents=100)
    for key in ("1", "2", "1"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            quarantine.add("a.tar", key, DocumentError(key, part="json", offset=512))
        written = (tmp_path / "quarantine.jsonl").read_text().splitlines()
        assert [json.loads(line)["key"] for line in written] == ["1", "2"][: len(written)]
    assert len(written) == 2


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_processes_of_a_run_share_the_list_and_the_count(tmp_path: Path) -> None:
    one, other = (RunningQuarantine(tmp_path, 0.02, documents=100) for _ in range(2))
    one.add("a.tar", "1", ValueError("1"))
    other.add("a.tar", "1", ValueError("1"))
    other.add("a.tar", "2", ValueError("2"))
    assert (len(one.lines), len(other.lines)) == (1, 2), "of others is heard at the next damage"
    with pytest.raises(ValueError, match=r"3 of 100 documents are damaged, .*; first: 1; all are listed in"):
        one.add("a.tar", "3", ValueError("3"))
    keys = [json.loads(line)["key"] for line in (tmp_path / "quarantine.jsonl").read_text().splitlines()]
    assert keys == ["1", "2", "3"]


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_lines_of_an_earlier_run_stay_and_do_not_count(tmp_path: Path) -> None:
    for key in ("1", "2"):
        RunningQuarantine(tmp_path, 0.01, documents=100).add("a.tar", key, ValueError(key))
    later = RunningQuarantine(tmp_path, 0.01, documents=100)
    assert later.lines == []
    later.add("a.tar", "2", ValueError("2"))
    assert [line["key"] for line in later.lines] == ["2"]
    assert len((tmp_path / "quarantine.jsonl").read_text().splitlines()) == 2
    (tmp_path / "quarantine.jsonl").unlink()  # as after a repair
    with pytest.raises(ValueError, match="2 of 100 documents are damaged"):
        later.add("a.tar", "1", ValueError("1"))
    assert len((tmp_path / "quarantine.jsonl").read_text().splitlines()) == 1


def test_a_running_list_that_cannot_be_written_is_one_warning(tmp_path: Path) -> None:
    quarantine = RunningQuarantine(tmp_path / "list", 0.01, documents=200)
    (tmp_path / "list").write_text("a file where a folder should be")
    with pytest.warns(UserWarning) as warned:
        for key in ("1", "2"):
            quarantine.add("a.tar", key, ValueError(key))
    assert [str(one.message).partition(" (")[0] for one in warned] == [
        "damaged document set aside: 1",
        "the list of damaged documents can't be written",
    ]
    with pytest.raises(ValueError, match=r"3 of 200 .*; first: 1; the list of all can't be written"):
        quarantine.add("a.tar", "3", ValueError("3"))


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_hundred_in_a_row_stop_a_run(tmp_path: Path) -> None:
    quarantine = RunningQuarantine(tmp_path, 1.0, documents=1_000)
    for number in range(99):
        quarantine.add("a.tar", str(number), ValueError(str(number)))
    with pytest.raises(ValueError, match="100 documents in a row are damaged; first: 0"):
        quarantine.add("a.tar", "99", ValueError("99"))
