"""Worker processes live through signals to the whole job, and end at their parent's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest
from torch.utils.data import DataLoader

from omni.datamodules.stream.worker_signals import heed_the_parent_alone


def loader() -> DataLoader[int]:
    return DataLoader(range(8), batch_size=None, num_workers=2, worker_init_fn=heed_the_parent_alone)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT], ids=str)
def test_a_stranger_is_not_heeded(number: signal.Signals) -> None:
    batches = iter(loader())
    found = [next(batches)]
    pids = [worker.pid for worker in batches._workers]  # type: ignore[attr-defined]
    send = f"import os; [os.kill(pid, {int(number)}) for pid in {pids}]"
    subprocess.run([sys.executable, "-c", send], check=True)
    time.sleep(0.1)
    assert [*found, *batches] == list(range(8))


def test_the_parent_is() -> None:
    batches = iter(loader())
    next(batches)
    worker = batches._workers[0]  # type: ignore[attr-defined]
    os.kill(worker.pid, signal.SIGTERM)
    worker.join(10)
    assert worker.exitcode == 0
