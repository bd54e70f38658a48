"""One rank of two in which things go wrong: ``python -m torch.distributed.run ... -m tests.faults.rank FOLDER``.

Three runs one after another; what rank r found is in ``FOLDER/rank-r.json``.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Callback

from omni.callbacks.checkpoint import Checkpoints
from omni.callbacks.guards import Guards
from omni.callbacks.preemption import Preempted, Preemption
from omni.callbacks.stragglers import Stragglers
from tests.faults.planted import Planted, Snapshots, differing
from tests.tiny_run import fit

BAD, ASKED = 3, 2


def run(folder: Path, out: str, callbacks: list[Callback]) -> None:
    """Four steps of two batches on each rank."""
    fit(
        folder,
        folder / out,
        batch_rows=1,
        max_steps=4,
        save_every=4,
        devices=2,
        strategy="ddp",
        callbacks=callbacks,
    )


def guarded(folder: Path) -> dict[str, Any]:
    """A NaN on rank 1 alone."""
    guards, seen = Guards(), Snapshots()
    run(folder, "guarded", [Planted("nan", BAD, rank=1), guards, seen])
    torch.save(seen.behind[4], folder / f"weights-{os.environ['RANK']}.pt")
    moved = {step: len(differing(seen.behind[step], seen.behind[step - 1])) for step in (BAD, BAD + 1)}
    return {"skipped": guards.skipped, "moved": moved, "state": guards.state_dict()["windows"]}


def preempted(folder: Path) -> dict[str, Any]:
    """A signal to rank 1 alone."""
    saving = Checkpoints(folder / "preempted", filename="{step}", save_last="link", every_n_train_steps=4)
    seen = Snapshots()
    try:
        run(folder, "preempted", [Planted("term", ASKED, rank=1), Preemption(), saving, seen])
    except Preempted as left:
        torch.save(seen.behind[ASKED], folder / f"asked-{os.environ['RANK']}.pt")
        return {"code": left.code, "steps": sorted(seen.behind)}
    return {}


def slow(folder: Path) -> dict[str, Any]:
    """Rank 1 takes longer."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(folder, "slow", [Stragglers(4), Planted("dawdle", 2, rank=1, until=3)])
    return {"told": [str(one.message) for one in caught if "stragglers" in str(one.message)]}


def main(folder: Path) -> None:
    """All three."""
    torch.set_num_threads(1)
    found = {"guarded": guarded(folder), "preempted": preempted(folder), "slow": slow(folder)}
    (folder / f"rank-{os.environ['RANK']}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
