"""One rank of training: ``python -m torch.distributed.run --nproc-per-node 2 -m tests.training.rank CORPUS CORPUS``.

Trains the first network on the first corpus and the second on the second, and writes the weights of rank r to
``CORPUS/rank-r.pt``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import torch

from omni.nn.config import MoEConfig
from tests.nn.moe_layer import GROUPS
from tests.tiny_model import tiny_config
from tests.tiny_run import NETWORK, fit, weights

NETWORKS = (
    NETWORK,
    tiny_config(moe=MoEConfig(expert_width=16, balance_loss=0.1, **GROUPS["hybrid"])),
)
"""With one kind of experts, and with experts of modalities beside shared ones."""


def main(corpora: list[str]) -> None:
    """One row at a time in fp64, where different orders of summing can't hide a mistake."""
    torch.set_num_threads(1)
    world, rank = int(os.environ["WORLD_SIZE"]), int(os.environ["RANK"])
    for corpus, network in zip(map(Path, corpora), NETWORKS, strict=True):
        module = fit(
            corpus,
            corpus / "ranks",
            batch_rows=1,
            dtype=torch.float64,
            network=network,
            devices=world,
            strategy="ddp",
        )
        torch.save(weights(module), corpus / f"rank-{rank}.pt")


if __name__ == "__main__":
    main(sys.argv[1:])
