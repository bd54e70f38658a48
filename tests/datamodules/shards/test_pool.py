"""Tasks over shards: in order, tried again where that may help, and reported by name where nothing did."""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

import pytest

from omni.datamodules.shards import tasks
from omni.datamodules.shards.pool import FailedItemsError, run_each, run_over
from omni.datamodules.shards.tasks import Cluster, Failed


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "PAUSE_SECONDS", 0.0)


def flaky(item: str, folder: Path) -> str:
    """``item`` says how it fails: ``bad``, ``broken``, ``kill`` always; ``once`` the first time only."""
    with (folder / item).open("a") as log:
        log.write("tried\n")
    tries = len((folder / item).read_text().splitlines())
    if item == "bad":
        raise ValueError("bad input")
    if item == "broken" or (item == "once" and tries == 1):
        raise OSError("the disk doesn't answer")
    if item == "kill" or (item == "killed once" and tries == 1):
        os.kill(os.getpid(), signal.SIGKILL)
    return item.upper()


def tries(folder: Path) -> dict[str, int]:
    return {path.name: len(path.read_text().splitlines()) for path in folder.iterdir()}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("workers", [1, 2])
def test_what_may_help_is_tried_again_and_the_others_go_on(tmp_path: Path, workers: int) -> None:
    items = ["bad", "good", "once", "broken", "last"]
    found = list(run_each(partial(flaky, folder=tmp_path), items, workers))
    assert found == [
        Failed("bad", "bad input", 1),
        "GOOD",
        "ONCE",
        Failed("broken", "the disk doesn't answer", 3),
        "LAST",
    ]
    assert tries(tmp_path) == {"bad": 1, "good": 1, "once": 2, "broken": 3, "last": 1}


@pytest.mark.timeout(300)
def test_a_killed_process_costs_its_item_only(tmp_path: Path) -> None:
    items = ["a", "killed once", "kill", "b", "c"]
    found = list(run_each(partial(flaky, folder=tmp_path), items, 2))
    died = Failed("kill", "its process was killed, or crashed (for lack of memory?)", 3)
    assert found == ["A", "KILLED ONCE", died, "B", "C"]
    assert str(died) == f"kill: {died.error} (tried 3 times)"


def test_failed_items_are_raised_behind_the_results(tmp_path: Path) -> None:
    seen = []
    with pytest.raises(FailedItemsError, match="2 of 3 failed; first: bad: bad input"):
        for result in run_over(partial(flaky, folder=tmp_path), ["bad", "good", "broken"], 1):
            seen.append(result)
    assert seen == ["GOOD"]


def test_a_defect_says_where(tmp_path: Path) -> None:
    (failed,) = run_each(len, [3], 1)  # type: ignore[arg-type]
    assert isinstance(failed, Failed)
    assert failed.error.startswith("TypeError: object of type 'int' has no len() (tasks.py:")


def test_wrong_numbers_of_workers() -> None:
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        list(run_over(str, [1], 0))
    with pytest.raises(ValueError, match="workers must be at least 1, got 0"):
        list(run_over(str, [1], Cluster("local", 0)))


def test_without_ray_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(ImportError, match=r"--ray auto needs the library Ray: pip install 'omni\[cluster\]'"):
        list(run_over(str, [1], Cluster("auto")))


@pytest.mark.timeout(300)
def test_two_workers_of_ray(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the extra `cluster`")
    items = ["bad", "good", "killed once", "broken", "kill", "last"]
    found = list(run_each(partial(flaky, folder=tmp_path), items, Cluster("local", 2)))
    assert [str(one) for one in found[:4]] == [
        "bad: bad input",
        "GOOD",
        "KILLED ONCE",
        "broken: the disk doesn't answer (tried 3 times)",
    ]
    assert isinstance(found[4], Failed) and found[5] == "LAST"
    assert tries(tmp_path)["kill"] == 3


def test_no_such_cluster() -> None:
    pytest.importorskip("ray", reason="the extra `cluster`")
    with pytest.raises(ValueError, match=r"--ray 127\.0\.0\.1:1: no cluster to work on"):
        list(run_over(str, [1], Cluster("127.0.0.1:1")))
