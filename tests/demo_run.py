"""The whole demo at a reduced size, run once as a user would run it, for every test that looks at its results."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

SCALE, STEPS = 0.03, 60


def omni(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, with one thread so that sums are added in one order."""
    return subprocess.run(
        [sys.executable, "-m", "omni", *arguments],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@lru_cache(maxsize=1)
def demo_folder() -> Path:
    """Folder of a finished reduced demo; made at the first call."""
    folder = Path(mkdtemp(prefix="omni-demo-"))
    done = omni("demo", "--scale", str(SCALE), "--steps", str(STEPS), "--out", str(folder / "demo"))
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "demo"
