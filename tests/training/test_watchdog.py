"""A process that makes no progress writes where its threads stand, and ends; one that does is left alone."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from omni.training.exit_codes import HUNG
from omni.training.watchdog import Watchdog

SCRIPT = """
import ctypes, sys, threading, time
from pathlib import Path
from omni.training.watchdog import Watchdog

def lose_the_way():
    {how}

watchdog = Watchdog(Path(sys.argv[1]), seconds=0.4, grace=0.2)
watchdog.start()
threading.Thread(target=time.sleep, args=(60,), name="other", daemon=True).start()
for step in range(4):
    time.sleep(0.2)
    watchdog.beat(f"in step {{step}}")
lose_the_way()
"""


@pytest.mark.parametrize(
    ("how", "code"),
    [("time.sleep(60)", HUNG), ("ctypes.PyDLL(None).sleep(60)", 1)],
    ids=["waiting", "holding Python's lock"],
)
def test_a_hung_process_writes_all_stacks_and_ends(tmp_path: Path, how: str, code: int) -> None:
    path, began = tmp_path / "stacks" / "rank-000.txt", time.monotonic()
    command = [sys.executable, "-c", SCRIPT.format(how=how), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    assert time.monotonic() - began < 30
    text = path.read_text()
    assert "in lose_the_way" in text and text.count("Thread 0x") >= 2
    assert ("no progress for 0 s, in step 3" in text) == (code == HUNG)


def test_progress_keeps_it_quiet_and_leaves_no_file(tmp_path: Path) -> None:
    watchdog = Watchdog(tmp_path / "stacks.txt", seconds=0.2, grace=0.05)
    watchdog.start()
    for step in range(10):
        time.sleep(0.05)
        watchdog.beat(f"in step {step}")
    watchdog.stop()
    assert list(tmp_path.iterdir()) == []
