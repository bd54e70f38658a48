"""Killed, hung and abandoned processes: what is saved goes on exactly, and nobody waits for ever. Minutes, so slow."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from omni.training.exit_codes import HUNG
from tests.cli.fit_run import ROOT, config
from tests.tiny_run import write_corpus

pytestmark = pytest.mark.slow

KILLS = 50


@pytest.mark.timeout(3600)
def test_a_run_killed_at_any_moment_ends_as_one_that_was_not(tmp_path: Path) -> None:
    result = tmp_path / "kills.json"
    command = [sys.executable, "-m", "tests.faults.kills", "--kills", str(KILLS), "--json", str(result)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(result.read_text())
    assert found["kills"] == found["equal"] == KILLS
    assert 0 < found["before_a_checkpoint"] < KILLS, "moments of all kinds"


def two_ranks(tmp_path: Path, planted: dict[str, Any], **settings: Any) -> list[subprocess.Popen[str]]:
    """Two processes that know of each other by their environment alone: no launcher ends one for the other."""
    corpus, out = write_corpus(tmp_path / "corpus"), tmp_path / "out"
    run = config(corpus, out, tmp_path / "record", world=2, workers=0, kill_after=None)
    run["data"]["val"] = None
    run["trainer"] |= {
        "val_check_interval": None,
        "callbacks": [{"class_path": "tests.faults.planted.Planted", "init_args": planted}],
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(run | settings))
    with socket.socket() as found:
        found.bind(("localhost", 0))
        port = str(found.getsockname()[1])
    group = {"MASTER_ADDR": "localhost", "MASTER_PORT": port, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, "-m", "omni", "fit", "--config", str(path)],
            cwd=ROOT,
            env=os.environ | group | {"RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": "0"},
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        for rank in ("0", "1")
    ]


def test_a_rank_does_not_wait_for_one_that_was_killed(tmp_path: Path) -> None:
    first, second = two_ranks(tmp_path, {"kind": "kill", "step": 3, "rank": 1})
    assert second.wait(200) == -9
    began = time.monotonic()
    _, said = first.communicate(timeout=100)
    assert first.returncode not in (0, None), said[-4000:]
    assert time.monotonic() - began < 60


def test_a_rank_that_hangs_ends_all_and_each_says_where_it_was(tmp_path: Path) -> None:
    watchdog = {"minutes": 0.2, "grace_seconds": 5.0}
    ranks = two_ranks(tmp_path, {"kind": "hang", "step": 3, "rank": 1}, watchdog=watchdog)
    codes = [rank.wait(200) for rank in ranks]
    assert codes == [HUNG, HUNG]
    stacks = [(tmp_path / "out" / "stacks" / f"rank-00{rank}.txt").read_text() for rank in (0, 1)]
    assert all("no progress for 12 s" in text for text in stacks)
    assert "a batch of step 3" in stacks[1]  # in it or before it: the hang comes with its beginning
    assert "in hang" in stacks[1] and "in hang" not in stacks[0]
