"""What cross entropy over a large vocabulary costs without the logits of all positions.

Command:  python -m benchmarks.cross_entropy [--positions 4096] [--width 512] [--vocabulary 32768] [--json FILE]
Time:     ten minutes on two cores
Result:   a table of time (target: at most 0.9 of plain) and peak memory (at most 0.2), in fp32 and bf16

Forward and backward pass from hidden states and the weight to their gradients. ``plain`` makes all logits and takes
``F.cross_entropy``, under autocast in bf16, as one would write it; ``ours N`` is the text head with ``text.chunk`` N;
``torch N`` is ``F.linear_cross_entropy`` with ``batch_chunk_size`` N, ``torch`` with chunks as it chooses them.
``z`` rows have the z-loss; torch's function has none.

Memory is the highest sum of what torch's CPU allocator hands out during both passes, so gradients count.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.peak_memory import peak_bytes
from benchmarks.turns import add_turn_options, check_turn_options, take_turns
from omni.cli.json_file import add_json_option, write_json
from omni.nn.heads.cross_entropy import chunked_cross_entropy

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Z_LOSS = 1e-4
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def main() -> None:
    """Measure and print."""
    args = parse_arguments()
    torch.manual_seed(0)
    hidden_ND = torch.randn(args.positions, args.width, requires_grad=True)
    weight_VD = (torch.randn(args.vocabulary, args.width) / args.width**0.5).requires_grad_()
    ids_N = torch.randint(args.vocabulary, (args.positions,))
    figures: dict[str, Any] = {
        "sizes": {name: getattr(args, name) for name in ("positions", "width", "vocabulary", "rounds")},
        "torch": torch.__version__,
    }
    for dtype in args.dtypes:
        losses = competitors(args.chunks, DTYPES[dtype])
        turns = {
            name: partial(both_passes, loss, hidden_ND, weight_VD, ids_N) for name, loss in losses.items()
        }
        memory = {name: peak_bytes(turn) for name, turn in turns.items()}
        clocks = {clock: take_turns(turns, clock, args.rounds) for clock in args.clocks}
        figures[dtype] = {
            name: {
                "peak_mib": round(memory[name] / 2**20),
                "memory_of_plain": round(memory[name] / memory[plain_of(name)], 3),
                **{f"{clock}_ms": round(1e3 * times.median(name)) for clock, times in clocks.items()},
                **{
                    f"{clock}_of_plain": round(times.ratio(name, plain_of(name)), 3)
                    for clock, times in clocks.items()
                },
            }
            for name in turns
        }
        show(dtype, figures[dtype])
    write_json(args.json, figures)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--positions", type=int, default=4096, help="N, all of them targets")
    parser.add_argument("--width", type=int, default=512, help="D")
    parser.add_argument("--vocabulary", type=int, default=32768, help="V")
    parser.add_argument(
        "--chunks", type=int, nargs="+", default=[128, 256, 512, 1024], help="positions at once"
    )
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    add_turn_options(parser, rounds=5)
    add_json_option(parser)
    args = parser.parse_args()
    check_turn_options(parser, args)
    return args


def competitors(chunks: list[int], dtype: torch.dtype) -> dict[str, Loss]:
    """Losses by name; those with z-loss end in ``z`` and are compared with ``plain z``."""
    losses: dict[str, Loss] = {"plain": partial(plain, dtype, 0.0), "plain z": partial(plain, dtype, Z_LOSS)}
    for chunk in chunks:
        losses[f"ours {chunk}"] = partial(ours, dtype, 0.0, chunk)
        losses[f"ours {chunk} z"] = partial(ours, dtype, Z_LOSS, chunk)
        losses[f"torch {chunk}"] = partial(torchs, dtype, chunk)
    return losses | {"torch": partial(torchs, dtype, None)}


def plain_of(name: str) -> str:
    """What a competitor is compared with."""
    return "plain z" if name.endswith(" z") else "plain"


def autocast(dtype: torch.dtype) -> torch.autocast:
    """On where ``dtype`` is a low precision."""
    return torch.autocast("cpu", torch.bfloat16, enabled=dtype is torch.bfloat16)


def plain(dtype: torch.dtype, z_loss: float, hidden: Tensor, weight: Tensor, ids: Tensor) -> Tensor:
    """All logits at once."""
    with autocast(dtype):
        logits = F.linear(hidden, weight).float()
    loss = F.cross_entropy(logits, ids, reduction="sum")
    return loss + z_loss * logits.logsumexp(-1).square().sum() if z_loss else loss


def ours(
    dtype: torch.dtype, z_loss: float, chunk: int, hidden: Tensor, weight: Tensor, ids: Tensor
) -> Tensor:
    """The text head's."""
    with autocast(dtype):
        return chunked_cross_entropy(hidden, weight, ids, chunk, z_loss)[0]


def torchs(dtype: torch.dtype, chunk: int | None, hidden: Tensor, weight: Tensor, ids: Tensor) -> Tensor:
    """torch's own; it does not follow autocast."""
    options = nn.LinearCrossEntropyOptions(batch_chunk_size=chunk)
    return F.linear_cross_entropy(
        hidden.to(dtype), weight.to(dtype), ids, reduction="sum", options=options
    ).float()


def both_passes(loss: Loss, hidden: Tensor, weight: Tensor, ids: Tensor) -> tuple[Tensor, ...]:
    """Gradients of the hidden states and the weight."""
    return torch.autograd.grad(loss(hidden, weight, ids), (hidden, weight))


def show(dtype: str, rows: dict[str, dict[str, float]]) -> None:
    """Print the figures of a precision."""
    print(f"{dtype:16}" + "".join(f"{name:>18}" for name in next(iter(rows.values()))))
    for name, row in rows.items():
        print(f"{name:16}" + "".join(f"{value:18}" for value in row.values()), flush=True)


if __name__ == "__main__":
    main()
