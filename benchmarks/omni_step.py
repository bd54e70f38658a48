"""What a training step of three modalities costs, against the same stack on text alone and against padding.

Command:  python -m benchmarks.omni_step [--model configs/model/10m.yaml] [--json FILE]
Time:     five minutes on two cores
Result:   positions a second as ratios, and the share of each part of the step; targets: at least 0.85 of text alone,
          at least 1.5 times padded

A step lays documents out, reads them with noise in patches and clips, takes all losses, clips gradients and steps
AdamW. Documents have the outlines of the demo's corpus (``omni_step_documents.txt``) and random content.

* ``omni``: documents of text, pictures and sound packed into rows, learned where the corpus says so;
* ``text``: the same rows, in which every patch and frame is a token; as many positions, as many learned;
* ``omni all``, ``text all``: the same two with every position learned;
* ``padded``: the documents of ``omni``, each in a row of its own as long as the longest, under dense masks;
* ``dense``: the rows of ``omni`` under dense masks.

The parts are both passes of each module alone, on the inputs that it had in the step; ``experts`` includes sorting
and combining, ``data`` what is done before the model runs, ``rest`` norms, residuals and what lies between.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.omni_step_documents import all_learned, as_text, read_outlines
from benchmarks.omni_step_made import STACK, VOCABULARY, Rows, Trainer, packed, padded, with_dense_masks
from benchmarks.omni_step_parts import parts_of, shares
from benchmarks.turns import add_turn_options, check_turn_options, take_turns
from omni.cli.json_file import add_json_option, write_json
from omni.modality import MODALITIES
from omni.planning.source import read_source

RATIOS = {
    "omni_of_text": ("text", "omni"),
    "omni_all_of_text_all": ("text all", "omni all"),
    "omni_over_padded": ("padded", "omni"),
    "omni_over_dense": ("dense", "omni"),
}
"""By name: whose time is divided by whose."""


def main() -> None:
    """Measure and print."""
    args = parse_arguments()
    config = read_source(args.model).config if args.model else STACK
    rows = competitors(args.rows, args.length)
    figures: dict[str, Any] = {"batch": described(rows["omni"]), "torch": torch.__version__}
    print(figures["batch"])
    for precision in args.precisions:
        trainer = Trainer(config, VOCABULARY, precision == "bf16")
        turns = {name: partial(trainer.step, of) for name, of in rows.items()}
        parts = parts_of(trainer, rows["omni"])
        figures[precision] = {}
        for clock in args.clocks:
            times = take_turns(turns, clock, args.rounds)
            ratios = {name: round(times.ratio(*pair), 3) for name, pair in RATIOS.items()}
            spread = {name: [round(r, 3) for r in times.spread(*pair)] for name, pair in RATIOS.items()}
            taken = shares(take_turns(parts, clock, args.rounds))
            figures[precision][clock] = {
                "ms": {name: round(1e3 * times.median(name), 1) for name in turns},
                "ratios": ratios,
                "spread": spread,
                "parts": {name: round(share, 4) for name, share in taken.items()},
            }
            show(precision, clock, figures[precision][clock])
    write_json(args.json, figures)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, help="a model config; by default the stack of moe_step")
    parser.add_argument("--rows", type=int, default=4, help="of a step")
    parser.add_argument("--length", type=int, default=512, help="positions of a row")
    parser.add_argument("--precisions", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    add_turn_options(parser)
    add_json_option(parser)
    args = parser.parse_args()
    check_turn_options(parser, args)
    return args


def competitors(rows: int, length: int) -> dict[str, Rows]:
    """What the steps read, by name."""
    outlines = read_outlines()
    omni = packed(outlines, rows, length, VOCABULARY)
    return {
        "omni": omni,
        "text": packed([as_text(o) for o in outlines], rows, length, VOCABULARY),
        "omni all": packed([all_learned(o) for o in outlines], rows, length, VOCABULARY),
        "text all": packed([all_learned(as_text(o)) for o in outlines], rows, length, VOCABULARY),
        "padded": padded(omni),
        "dense": with_dense_masks(omni),
    }


def described(rows: Rows) -> dict[str, Any]:
    """Documents, positions and targets of a batch."""
    batch, alone = rows.batch(), padded(rows)
    longest, documents = alone.length, len(alone.rows)
    return {
        "documents": documents,
        "longest": longest,
        "positions": {m.name: int(batch.of(m).sum()) for m in MODALITIES},
        "targets": dict(zip((m.name for m in MODALITIES), batch.targets.tolist(), strict=True)),
        "filled": round(int(batch.real.sum()) / batch.real.numel(), 4),
        "filled_when_padded": round(int(batch.real.sum()) / (longest * documents), 4),
    }


def show(precision: str, clock: str, figures: dict[str, Any]) -> None:
    """Print the figures of a precision on a clock."""
    print(f"\n{precision}, {clock}")
    for name, milliseconds in figures["ms"].items():
        print(f"  {name:24}{milliseconds:10.1f} ms")
    for name, ratio in figures["ratios"].items():
        low, high = figures["spread"][name]
        print(f"  {name:24}{ratio:10.3f}  ({low:.3f} to {high:.3f})")
    for name, share in figures["parts"].items():
        print(f"  {name:24}{share:10.1%}", flush=True)


if __name__ == "__main__":
    main()
