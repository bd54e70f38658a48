"""Worker processes leave signals to the training process."""

from __future__ import annotations

import os
import signal
import threading

LEFT_TO_THE_PARENT = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)


def heed_the_parent_alone(worker: int) -> None:
    """Let this worker process take the signals that ask a run to go from its parent only.

    Schedulers send them to all processes of a job. A worker that died of one would take the run with it before it has
    saved; one that ignored them could not be ended by its parent. So they are held back, and a thread looks who
    sent them. Where the system can't tell (macOS), workers stay as torch makes them.
    """
    if not hasattr(signal, "sigwaitinfo"):
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, LEFT_TO_THE_PARENT)
    threading.Thread(target=_wait_for_the_parent, args=(os.getppid(),), name="signals", daemon=True).start()


def _wait_for_the_parent(parent: int) -> None:
    while signal.sigwaitinfo(LEFT_TO_THE_PARENT).si_pid != parent:
        pass
    os._exit(0)
