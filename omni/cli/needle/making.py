"""``omni needle make``: shards of documents to train on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress

    from omni.datamodules.needle.corpus import NeedleCorpus
    from omni.datamodules.needle.needles import Kind

KINDS = ("text", "image", "audio")


def add_make(actions: argparse._SubParsersAction) -> None:
    """Add ``make``."""
    make = actions.add_parser(
        "make",
        help="write shards of documents with needles",
        description="Writes measured shards of documents in which several needles are hidden, and all asked for.",
    )
    make.add_argument("out", type=Path, metavar="FOLDER", help="folder of the shards")
    make.add_argument(
        "--tokenizers", type=Path, required=True, metavar="DIR", help="that lengths are counted in"
    )
    make.add_argument("--documents", type=int, default=1000, help="how many (default 1000)")
    make.add_argument(
        "--lengths", default="128-1024", help="positions, one number or a range (default 128-1024)"
    )
    make.add_argument("--needles", default="1-8", help="needles of a document (default 1-8)")
    make.add_argument("--kinds", default=",".join(KINDS), help="kinds of needles (default text,image,audio)")
    make.add_argument("--heldout", action="store_true", help="of held-out prose, pictures and voices")
    add_media_options(make)
    make.set_defaults(run=run_make)


def add_media_options(parser: argparse.ArgumentParser) -> None:
    """Add what decides on the material, as in ``omni demo``."""
    parser.add_argument("--seed", type=int, default=0, help="seed of material and documents (default 0)")
    parser.add_argument(
        "--speech", type=Path, metavar="DIR", help="recordings as for `omni demo --speech` instead of eSpeak"
    )


def run_make(args: argparse.Namespace) -> None:
    """Write and measure the shards.

    Raises:
        ValueError: a range or kind that can't be, no tokenizers, or lengths too short for the needles.
    """
    from rich.progress import Progress

    from omni.datamodules.needle.documents import NeedleSize
    from omni.datamodules.shards.index_folder import index_folder
    from omni.datamodules.shards.writer import write_shards
    from omni.layout import Layout
    from omni.tokenizers.bundle import Tokenizers

    if args.documents < 1:
        raise ValueError(f"--documents must be at least 1, got {args.documents}")
    size = NeedleSize(
        lengths=parse_range(args.lengths, "--lengths"), needles=parse_range(args.needles, "--needles")
    )
    kinds = parse_kinds(args.kinds, "--kinds")
    layout = Layout(Tokenizers.load(args.tokenizers))
    with Progress() as progress:
        corpus = build_corpus(args, kinds, progress)
        documents = corpus.documents("heldout" if args.heldout else "train", layout)
        made = (documents.several(number, kinds, size) for number in range(args.documents))
        write_shards(progress.track(made, total=args.documents, description="Hiding needles"), args.out)
    found = index_folder(args.out, args.tokenizers)
    assert found.summary is not None and not found.damaged, found
    print(f"{args.out}: {found.documents} documents, {sum(found.summary['positions'].values())} positions")


def build_corpus(args: argparse.Namespace, kinds: list[Kind], progress: Progress) -> NeedleCorpus:
    """The material, with a bar for the clips."""
    from omni.datamodules.needle.corpus import NeedleCorpus

    bar = progress.add_task("Speech", total=None, visible="audio" in kinds)
    return NeedleCorpus.build(
        args.seed, kinds, args.speech, lambda done, total: progress.update(bar, completed=done, total=total)
    )


def parse_range(given: str, option: str) -> tuple[int, int]:
    """``128-1024`` as two numbers, ``128`` as twice the same.

    Raises:
        ValueError: something else; the message names the option.
    """
    low, _, high = given.partition("-")
    try:
        return int(low), int(high or low)
    except ValueError:
        raise ValueError(f"{option} {given!r}: expected a number or a range such as 128-1024") from None


def parse_kinds(given: str, option: str) -> list[Kind]:
    """Names with commas between them as kinds.

    Raises:
        ValueError: one that there isn't.
    """
    names = given.split(",")
    if unknown := [name for name in names if name not in KINDS]:
        raise ValueError(f"{option} {given}: no kind {unknown[0]!r}; there are {', '.join(KINDS)}")
    return names  # type: ignore[return-value]
