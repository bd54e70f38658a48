"""Commands of runs: failures are kept, a killed run goes on, and two studies never share a folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from omni.cli.ablate import runner
from omni.cli.ablate.runner import Command, Job, read_status, run_jobs


@pytest.fixture(autouse=True)
def python(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are Python programs instead of ``omni``s, which start faster."""
    monkeypatch.setattr(runner, "PROGRAM", (sys.executable, "-c"))


def job(folder: Path, name: str, *programs: str) -> Job:
    return Job(name, folder / name, [Command(f"step {n}", (code,)) for n, code in enumerate(programs)])


def quiet(_: str) -> None:
    """Tells nobody."""


def test_a_failed_run_is_kept_with_its_last_words_and_sinks_no_other(tmp_path: Path) -> None:
    bad = job(
        tmp_path, "bad", "print('fine')", "print('going wrong'); raise SystemExit(3)", "open('never', 'w')"
    )
    good = job(tmp_path, "good", "import sys; print(sys.version)")
    told: list[str] = []
    run_jobs([bad, good], 1, told.append)
    status = read_status(tmp_path / "bad")
    assert (status["state"], status["ended"]) == ("failed", ["step 0"])
    assert status["error"] == "step 1: exit status 3\ngoing wrong"
    assert read_status(tmp_path / "good")["state"] == "done"
    assert [line.split()[1] for line in told] == ["started", "failed", "started", "done"]


def test_time_and_memory_of_each_command_are_measured(tmp_path: Path) -> None:
    run_jobs(
        [
            job(
                tmp_path,
                "a",
                "import time; x = bytearray(200 << 20); time.sleep(0.5)",
                "import time; time.sleep(0.3)",
            )
        ],
        1,
        quiet,
    )
    status = read_status(tmp_path / "a")
    assert status["peak_memory_gib"]["step 0"] > 0.19 > status["peak_memory_gib"]["step 1"]
    assert status["seconds"]["step 1"] >= 0.3


def test_what_is_done_is_not_done_again_and_what_failed_is(tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'count')!r}, 'a').write('x')"
    run_jobs([job(tmp_path, "a", code, "raise SystemExit(1)")], 1, quiet)
    run_jobs([job(tmp_path, "a", code, "pass")], 1, quiet)
    run_jobs([job(tmp_path, "a", code, "raise SystemExit(1)")], 1, quiet)
    assert (tmp_path / "count").read_text() == "x"
    assert read_status(tmp_path / "a") == read_status(tmp_path / "a") | {"state": "done"}
    assert "error" not in read_status(tmp_path / "a")


def test_a_command_resumes_where_there_is_a_checkpoint(tmp_path: Path) -> None:
    """It dies behind its checkpoint; the second time it is told of it."""
    last = tmp_path / "last.ckpt"
    code = f"import sys, os; open({str(last)!r}, 'w'); sys.argv[1:] or os.kill(os.getpid(), 9)"
    command = Command("fit", (code,), ("--ckpt_path", str(last)), last)
    run_jobs([Job("a", tmp_path / "a", [command])], 1, quiet)
    assert "fit: killed by SIGKILL" in read_status(tmp_path / "a")["error"]
    run_jobs([Job("a", tmp_path / "a", [command])], 1, quiet)
    assert read_status(tmp_path / "a")["state"] == "done"


def wait_for(found: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not found():
        assert time.monotonic() < until, "nothing happened in a minute"
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform != "linux", reason="asks Linux to end children with their parent")
def test_a_killed_study_leaves_no_run_behind(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    child = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    study = (
        "from pathlib import Path; from omni.cli.ablate import runner; import sys; "
        "runner.PROGRAM = (sys.executable, '-c'); "
        f"job = runner.Job('a', Path({str(tmp_path / 'a')!r}), [runner.Command('fit', ({child!r},))]); "
        "runner.run_jobs([job], 1, print)"
    )
    process = subprocess.Popen([sys.executable, "-c", study])
    wait_for(lambda: pid.exists() and bool(pid.read_text()))
    process.send_signal(signal.SIGKILL)
    process.wait()
    wait_for(lambda: not _alive(int(pid.read_text())))
    assert read_status(tmp_path / "a")["state"] == "running"
    run_jobs([job(tmp_path, "a", "pass")], 1, quiet)
    assert read_status(tmp_path / "a")["state"] == "done"


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_folder_that_another_study_works_in_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PATIENCE", 0.2)
    first = job(tmp_path, "a", "import time; time.sleep(60)")
    first.start()
    try:
        with pytest.raises(ValueError, match=r"a: another process still works in this folder"):
            job(tmp_path, "a", "pass").start()
    finally:
        first.stop()
    assert read_status(tmp_path / "a")["state"] == "stopped"
