"""How the process gets its memory."""

from __future__ import annotations

import ctypes
import sys

MMAP_MAX, TRIM_THRESHOLD = -4, -1
"""Numbers of the settings in ``malloc.h``."""


def keep_freed_memory() -> bool:
    """Let glibc keep what is freed, for the next step; whether it could be told to.

    By default it gives large blocks back to the system at once, and each step's gradients and activations are
    mapped anew, page by page. The peak stays as it is; what was freed is not given to other programs.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return False
    return bool(mallopt(MMAP_MAX, 0)) and bool(mallopt(TRIM_THRESHOLD, 2**31 - 1))
