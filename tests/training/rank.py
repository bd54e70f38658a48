"""One rank of training: ``python -m torch.distributed.run --nproc-per-node 2 -m tests.training.rank CORPUS ...``.

Trains on one corpus after another and writes the weights of rank r to ``CORPUS/rank-r.pt``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from tests.tiny_run import fit, weights


def main(corpora: list[str]) -> None:
    """One row at a time in fp64, where different orders of summing can't hide a mistake."""
    torch.set_num_threads(1)
    world, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    for corpus in map(Path, corpora):
        module = fit(
            corpus, corpus / "ranks", batch_rows=1, dtype=torch.float64, devices=world, strategy="ddp"
        )
        torch.save(weights(module), corpus / f"rank-{rank}.pt")


if __name__ == "__main__":
    main(sys.argv[1:])
