"""A process that trained with others leaves their group before it ends."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import atexit
import torch.distributed as dist
from omni.training.process_group import leave_at_exit

atexit.register(lambda: print(dist.is_initialized()))  # handlers run last in, first out
dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
leave_at_exit()
leave_at_exit()
"""


def test_the_group_is_left_before_the_process_ends() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False
    )
    assert (done.returncode, done.stdout) == (0, "False\n"), done.stderr
