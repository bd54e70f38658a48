"""One of two ranks that train on damaged shards: ``python -m torch.distributed.run ... damaged_rank CORPUS SHARE``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from tests.tiny_run import fit, weights


def main(corpus: Path, max_damaged: float) -> None:
    """Write the weights of rank r to ``CORPUS/rank-r.pt``."""
    torch.set_num_threads(1)
    module = fit(
        corpus,
        corpus / "ranks",
        batch_rows=1,
        dtype=torch.float64,
        max_damaged=max_damaged,
        devices=int(os.environ["WORLD_SIZE"]),
        strategy="ddp",
    )
    torch.save(weights(module), corpus / f"rank-{os.environ['RANK']}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
