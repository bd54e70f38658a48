"""The end of a process that trained together with others."""

from __future__ import annotations

import atexit

import torch.distributed as dist


def leave_at_exit() -> None:
    """Leave the process group before the interpreter is taken down.

    Lightning does so for NCCL only. A gloo group that is still there then takes its threads down with it, and the
    process aborts in some runs although all went well (seen in 1 of 14).
    """
    atexit.unregister(_leave)
    atexit.register(_leave)


def _leave() -> None:
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
