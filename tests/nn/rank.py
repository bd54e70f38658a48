"""One of two ranks: ``python -m torch.distributed.run --nproc-per-node 2 -m tests.nn.rank FOLDER``.

Routes its part of the positions, balances the router, and writes the bias to ``FOLDER/rank-r.pt``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from omni.nn.config import MoEConfig
from omni.nn.moe.router import Router
from tests.nn.moe_layer import GROUPS

POSITIONS, STEPS = 60, 3


def balanced(mode: str, ranks: list[int]) -> torch.Tensor:
    """The bias after some steps, each on the parts of these ``ranks``. Rank 0 has text alone."""
    router = Router(32, MoEConfig(expert_width=8, balance_rate=0.1, **GROUPS[mode]))
    generator = torch.Generator().manual_seed(0)
    torch.nn.init.normal_(router.weight, std=0.3, generator=generator)
    for _ in range(STEPS):
        x_2ND = torch.randn(2, POSITIONS, 32, generator=generator)
        for rank in ranks:
            router(x_2ND[rank], (torch.arange(POSITIONS) % 3 * rank).to(torch.uint8))
        router.balance()
    return router.bias


def main(folder: Path) -> None:
    """Balance with the other rank, and write."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo")
    rank = torch.distributed.get_rank()
    torch.save({mode: balanced(mode, [rank]) for mode in GROUPS}, folder / f"rank-{rank}.pt")
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
