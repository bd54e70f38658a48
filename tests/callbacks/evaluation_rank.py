"""One rank of training with evaluation: ``python -m tests.callbacks.evaluation_rank CORPUS``, or under torchrun.

Writes what the last evaluation measured to ``CORPUS/WORLD-r.json`` for rank r of WORLD.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import torch

from omni.callbacks.evaluation import Evaluation
from omni.datamodules.shards.writer import write_shards
from tests.tiny import tiny_documents
from tests.tiny_run import fit, write_corpus

LIMIT = 13
"""Documents: an odd number, so that two ranks have different shares."""


def write_data(folder: Path) -> Path:
    """Training shards, held-out shards and an exam of three questions."""
    write_corpus(folder)
    write_shards(tiny_documents(20, seed=1), folder / "heldout")
    questions = [
        {"question": f"{n} plus one is", "options": ["two", "three"], "answer": n % 2} for n in range(3)
    ]
    (folder / "exam.jsonl").write_text("\n".join(map(json.dumps, questions)))
    return folder


def evaluation(folder: Path, every_n_steps: int = 2, limit: int = LIMIT) -> Evaluation:
    """Losses, short answers and the exam."""
    return Evaluation(
        [str(folder / "heldout")],
        [str(folder / "exam.jsonl")],
        every_n_steps=every_n_steps,
        limit=limit,
        max_text=4,
    )


def main(folder: Path) -> None:
    """Two steps, and an evaluation behind them."""
    torch.set_num_threads(1)
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    callback = evaluation(folder)
    strategy = "ddp" if world > 1 else "auto"
    fit(
        folder,
        folder / f"out-{world}",
        batch_rows=1,
        max_steps=2,
        devices=world,
        callbacks=[callback],
        strategy=strategy,
    )
    found = {tally.name: [tally.numbers.tolist(), tally.value] for tally in callback.tallies}
    (folder / f"{world}-{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
