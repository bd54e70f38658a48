"""What attention costs when it knows the documents, against a dense mask.

Command:  python -m benchmarks.attention [--positions 4096] [--document 512] [--json FILE]
Time:     a minute
Result:   how many times faster than a dense mask (target: at least 8), forward and both passes, in fp32 and bf16

``documents`` is what the model runs on CPU: batches of documents of similar length under ``is_causal``. ``dense``
is ``F.scaled_dot_product_attention`` with a boolean mask of all pairs; the mask is made once, outside of the time.
Besides documents of one length, ``mixed`` has lengths spread log-normally around the same mean.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.turns import Turn, add_turn_options, check_turn_options, take_turns
from omni.cli.json_file import add_json_option, write_json
from omni.nn.document_attention import AttentionContext, PackedAttention

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


class DenseMask:
    """Attention context with a mask of all pairs of positions of each row."""

    def __init__(self, lengths: tuple[int, ...], rows: int = 1) -> None:
        """``lengths`` of the documents over the flattened rows, as in ``OmniBatch``."""
        document_BS = torch.repeat_interleave(torch.tensor(lengths)).view(rows, -1)
        same_BSS = document_BS[:, :, None] == document_BS[:, None, :]
        self.mask_BSS = same_BSS.tril().unsqueeze(1)  # for all heads

    def __call__(self, q_BSAC: Tensor, k_BSGC: Tensor, v_BSGC: Tensor, layer: int) -> Tensor:
        """Attention output of any layer."""
        q, k, v = (x.to(v_BSGC.dtype).transpose(1, 2) for x in (q_BSAC, k_BSGC, v_BSGC))
        gqa = q.shape[1] != k.shape[1]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=self.mask_BSS, enable_gqa=gqa).transpose(
            1, 2
        )


def main() -> None:
    """Measure and print."""
    args = parse_arguments()
    figures: dict[str, Any] = {
        "sizes": {
            name: getattr(args, name) for name in ("positions", "document", "heads", "kv_heads", "channels")
        },
        "torch": torch.__version__,
    }
    packings = {
        "equal": (args.document,) * (args.positions // args.document),
        "mixed": mixed_lengths(args.positions, args.document),
    }
    for packing, lengths in packings.items():
        contexts: dict[str, AttentionContext] = {
            "documents": PackedAttention(lengths),
            "dense": DenseMask(lengths),
        }
        figures[packing] = {"documents": len(lengths), "longest": max(lengths)}
        for name, dtype in DTYPES.items():
            q, k, v = inputs(args, dtype)
            for passes, work in (("forward", forward), ("both passes", both_passes)):
                turns = {of: partial(work, context, q, k, v) for of, context in contexts.items()}
                row = compared(turns, args)
                figures[packing][f"{name} {passes}"] = row
                print(f"{packing:6} {name} {passes:12} {row}", flush=True)
    write_json(args.json, figures)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--positions", type=int, default=4096, help="of the one row")
    parser.add_argument("--document", type=int, default=512, help="length of a document; divides positions")
    parser.add_argument("--heads", type=int, default=8, help="A")
    parser.add_argument("--kv-heads", type=int, default=4, help="G")
    parser.add_argument("--channels", type=int, default=64, help="C")
    add_turn_options(parser)
    add_json_option(parser)
    args = parser.parse_args()
    check_turn_options(parser, args)
    if args.positions % args.document:
        parser.error(f"--document {args.document}: expected a divisor of --positions {args.positions}")
    return args


def mixed_lengths(positions: int, mean: int) -> tuple[int, ...]:
    """Log-normal lengths (sigma 1) that sum to ``positions``."""
    random, lengths = np.random.default_rng(0), list[int]()
    while (room := positions - sum(lengths)) > 0:
        length = round(mean * float(np.exp(random.normal() - 0.5)))
        lengths.append(min(max(length, 1), room))
    return tuple(lengths)


def inputs(args: argparse.Namespace, dtype: torch.dtype) -> list[Tensor]:
    """Queries, keys and values of one row."""
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(1, args.positions, heads, args.channels, generator=generator).to(dtype).requires_grad_()
        for heads in (args.heads, args.kv_heads, args.kv_heads)
    ]


def forward(context: AttentionContext, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The output, without a graph."""
    with torch.no_grad():
        return context(q, k, v, 0)


def both_passes(context: AttentionContext, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, ...]:
    """Gradients of queries, keys and values."""
    out = context(q, k, v, 0)
    return torch.autograd.grad(out, (q, k, v), torch.ones_like(out))


def compared(turns: Mapping[str, Turn], args: argparse.Namespace) -> dict[str, float]:
    """Milliseconds of both and how many times faster the first is, by clock."""
    row: dict[str, float] = {}
    for clock in args.clocks:
        times = take_turns(turns, clock, args.rounds)
        row |= {f"{clock}_ms_{name}": round(1e3 * times.median(name), 2) for name in turns}
        row[f"{clock}_times_faster"] = round(times.ratio("dense", "documents"), 2)
    return row


if __name__ == "__main__":
    main()
