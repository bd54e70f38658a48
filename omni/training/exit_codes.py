"""What the exit code of a training process tells its launcher; 2 is for errors that a restart would meet again."""

from __future__ import annotations

PREEMPTED = 75
"""The run was asked to go, and has saved: start it again with ``--ckpt_path last`` (EX_TEMPFAIL of sysexits.h)."""
HUNG = 70
"""The run made no progress: look at the stacks, and start it again (EX_SOFTWARE)."""
