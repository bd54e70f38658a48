"""A study as a user runs it, in processes: killed in the middle of a run, it ends as if nothing had been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.ablate.tiny_study import write_study

ROOT = Path(__file__).parents[3]
STEPS = 40


def ablate(study: Path, out: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "omni", "ablate", str(study), "--out", str(out), *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.slow
def test_a_killed_study_goes_on_in_the_run_it_was_in(tmp_path: Path) -> None:
    study = write_study(tmp_path, seeds=[0], budget={"match": "tokens", "steps": STEPS})
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    first = killed / "runs" / "dense-seed0"
    process = ablate(study, killed)
    until = time.monotonic() + 500
    while not (first / "checkpoints" / "last.ckpt").exists():
        assert process.poll() is None and time.monotonic() < until, process.communicate()[0]
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert json.loads((first / "status.json").read_text())["state"] == "running"
    for arguments in (
        (killed, "--resume"),
        (whole, "--run", "dense-seed0"),
    ):
        done = ablate(study, *arguments)
        said, _ = done.communicate(timeout=500)
        assert done.returncode == 0, said
    found = json.loads((killed / "study.json").read_text())
    assert [run["state"] for run in found["runs"]] == ["done", "done"]
    assert len(list((first / "logs").glob("version_*"))) == 2, "the run began anew or was never killed"
    alone = whole / "runs" / "dense-seed0"
    assert (first / "examples.csv").read_text() == (alone / "examples.csv").read_text()
    assert found["order"]["seed0"]["same"]
    assert (killed / "study.html").is_file()
