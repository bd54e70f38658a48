"""Memory of two workers over ten epochs, in a process of its own: one that shares little with them."""

from __future__ import annotations

import gc
import json
import multiprocessing
import re
import sys
from pathlib import Path

from omni.datamodules.omni_datamodule import OmniDataModule
from omni.datamodules.stream.plan_config import PlanConfig

EPOCHS, WORKERS = 10, 2


def worker_memory() -> float:
    """MiB of the processes that this one has started; a page that n of them share counts 1/n for each."""
    pss = 0
    for process in multiprocessing.active_children():
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        found = re.search(r"^Pss: +(\d+) kB$", rollup, re.MULTILINE)
        assert found, rollup
        pss += int(found[1])
    return pss / 1024


def main(folder: Path, per_epoch: int) -> list[float]:
    """MiB behind each epoch."""
    gc.collect()
    gc.freeze()  # no collection, here or in a worker, writes to the pages that they share from the start
    plan = PlanConfig(row_length=256, global_rows=2)
    data = OmniDataModule(
        str(folder / "tokenizers"),
        str(folder / "train"),
        None,
        plan,
        batch_rows=2,
        workers=WORKERS,
        worker_kind="process",
    )
    data.setup("fit")
    pss: list[float] = []
    documents = 0
    for batch in data.train_dataloader():
        documents += len(batch.keys)
        if documents >= per_epoch * (len(pss) + 1):
            assert len(multiprocessing.active_children()) == WORKERS
            pss.append(worker_memory())
        if len(pss) == EPOCHS:
            break
    return pss


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), int(sys.argv[2]))))
