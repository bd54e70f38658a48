"""``omni needle test``: how often a checkpoint finds what is hidden, by length and depth."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from omni.cli.json_file import add_json_option, write_json
from omni.cli.needle.making import KINDS, add_media_options, build_corpus, parse_kinds

if TYPE_CHECKING:
    from omni.datamodules.needle.documents import NeedleDocuments
    from omni.datamodules.needle.needles import Kind
    from omni.evaluation.needle import NeedleTable, Trial
    from omni.inference.omni import Omni

LONGEST_ANSWER = 12
"""Tokens; a right answer has far fewer."""


def add_test(actions: argparse._SubParsersAction) -> None:
    """Add ``test``."""
    test = actions.add_parser(
        "test",
        help="have a checkpoint look for needles",
        description="Hides one needle in each document and asks for it. The answer must be exact. Prints the share "
        "of needles found at each depth: 0 is the beginning of the prose, 1 its end.",
    )
    test.add_argument("checkpoint", help="checkpoint of `omni fit`")
    test.add_argument("--length", default="16384", help="positions, or several with commas (default 16384)")
    test.add_argument("--depths", type=int, default=5, help="depths, evenly spread (default 5)")
    test.add_argument("--needles", type=int, default=50, help="of each length, over all depths (default 50)")
    test.add_argument("--kind", default="text", help=f"what is hidden: {', '.join(KINDS)} (default text)")
    test.add_argument(
        "--yarn-factor",
        type=float,
        help="read with another model.network.rope.yarn.factor than the checkpoint was trained with",
    )
    test.add_argument("--heatmap", type=Path, metavar="FILE", help="picture (.png) of lengths and depths")
    test.add_argument("--device", default="cpu", help="device of the model (default cpu)")
    add_media_options(test)
    add_json_option(test, help="also write shares, intervals and answers to this JSON file")
    test.set_defaults(run=run_test)


def run_test(args: argparse.Namespace) -> None:
    """Test and print.

    Raises:
        ValueError: a number or kind that can't be, or a bad checkpoint.
    """
    from rich.progress import Progress

    from omni.evaluation.needle import NeedleTable
    from omni.inference.omni import Omni

    lengths = _lengths(args.length)
    (kind,) = kinds = parse_kinds(args.kind, "--kind")[:1]
    if args.depths < 1 or args.needles < args.depths:
        raise ValueError(
            f"--needles {args.needles} over --depths {args.depths}: expected one at least for each"
        )
    omni = Omni.from_checkpoint(args.checkpoint, args.device)
    if args.yarn_factor is not None:
        _stretch(omni, args.yarn_factor)
    with Progress() as progress:
        documents = build_corpus(args, kinds, progress).documents("heldout", omni.layout)
        bar = progress.add_task(f"Looking for needles ({kind})", total=len(lengths) * args.needles)
        places = list(_places(lengths, args.depths, args.needles))
        trials = _trials(omni, documents, kind, places, lambda: progress.advance(bar))
        table = NeedleTable(tuple(trials))
    print_table(table)
    if args.heatmap is not None:
        from omni.cli.needle.heatmap import draw_heatmap

        draw_heatmap(table, f"{kind} needles found", args.heatmap)
    settings = {"checkpoint": str(args.checkpoint), "kind": kind, "yarn_factor": args.yarn_factor}
    write_json(args.json, settings | {"seed": args.seed} | table.figures())


def _lengths(given: str) -> list[int]:
    try:
        return [int(part) for part in given.split(",")]
    except ValueError:
        raise ValueError(f"--length {given!r}: expected a number, or several with commas between") from None


def _places(lengths: list[int], depths: int, needles: int) -> Iterator[tuple[int, float, int]]:
    """Length, depth and number of each needle; the depths take turns."""
    for length in lengths:
        for number in range(needles):
            yield length, (number % depths) / max(1, depths - 1), number


def _stretch(omni: Omni, factor: float) -> None:
    """Set YaRN's factor, which no weight depends on."""
    from dataclasses import replace

    from omni.nn.rotary import Rotary

    rope = omni.model.config.rope
    changed = replace(rope, yarn=replace(rope.yarn, factor=factor))
    omni.model.rotary = Rotary(omni.model.config.head_channels, changed)


def _trials(
    omni: Omni,
    documents: NeedleDocuments,
    kind: Kind,
    places: list[tuple[int, float, int]],
    done: Callable[[], None],
) -> Iterator[Trial]:
    """One answer after another: a long prompt is a batch of its own."""
    from omni.evaluation.needle import Trial
    from omni.evaluation.tasks import split_prompt
    from omni.inference.options import SamplingOptions
    from omni.sequence import Text

    options = SamplingOptions(max_text=LONGEST_ANSWER)
    for length, depth, number in places:
        document = documents.single(kind, length, depth, number)
        answer = omni.generate(split_prompt(document)[0], "text", options)
        said = "".join(segment.text for segment in answer if isinstance(segment, Text))
        assert document.label is not None
        done()
        yield Trial(length, depth, document.label, said)


def print_table(table: NeedleTable) -> None:
    """Shares of needles found, a row per length."""
    from rich.console import Console
    from rich.table import Table

    depths = [f"{depth:.0%}" for depth in table.depths]
    shown = Table("positions", *depths, "all", "95 % interval", title="Needles found, by depth")
    for length in table.lengths:
        cells = [table.cell(length, depth) for depth in table.depths]
        whole = table.cell(length)
        shown.add_row(
            f"{length:,}",
            *(f"{cell.found}/{cell.trials}" for cell in cells),
            f"{whole.share:.1%}",
            f"{whole.interval.low:.1%} to {whole.interval.high:.1%}",
        )
    Console().print(shown)
