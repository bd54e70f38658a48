"""``omni plan``: what a model costs before it is built, on which GPUs it fits, and how long a run takes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from omni.cli.json_file import write_json

if TYPE_CHECKING:
    from omni.nn.config import ModelConfig, Vocabulary
    from omni.planning.estimate import Task
    from omni.planning.flops import Checkpointing
    from omni.planning.source import Source
    from omni.planning.workload import Workload

Number = TypeVar("Number", int, float)
STDOUT = Path("-")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``plan``."""
    parser = subparsers.add_parser(
        "plan",
        help="parameters, FLOPs, memory, time and cost of a config, before it is built",
        description="Plans a model config (configs/model/*.yaml) or an experiment (configs/experiment/*.yaml) "
        "on a number of GPUs. Nothing is built; times are estimates from stated peaks and usual efficiencies.",
    )
    parser.add_argument("config", type=Path, help="model config or experiment")
    parser.add_argument("--gpus", type=int, default=8, help="number of GPUs (default 8)")
    parser.add_argument("--gpu", default="h100-80gb", help="a100-80gb, h100-80gb (default), h200 or b200")
    parser.add_argument(
        "--mesh", help="layout such as dp=2,ep=8 with dp, ep, tp, pp, cp (default: the fastest that fits)"
    )
    parser.add_argument("--length", type=int, help="positions of a row (default 4096, or the experiment's)")
    parser.add_argument("--document", type=int, help="positions of a document (default: whole rows)")
    parser.add_argument("--rows", type=int, help="rows of one forward pass on one rank (default 1)")
    parser.add_argument("--accumulate", type=int, help="forward passes of a step (default 1)")
    parser.add_argument(
        "--mix", help="shares of positions, such as text=0.5,image=0.3,audio=0.2 (default text)"
    )
    parser.add_argument(
        "--learnt",
        help="shares of each modality's positions that are targets, such as text=0.2,image=0.5 (default 1; for a "
        "config with encoders, which read the others, 0.5 of image and audio)",
    )
    parser.add_argument("--picture", type=int, help="patches of a picture, for encoders (default 64)")
    parser.add_argument("--clip", type=int, help="frames of a clip, for encoders (default 64)")
    parser.add_argument(
        "--vocabulary", help="sizes such as text=65536,patch_values=768,codebooks=8 (default: by width)"
    )
    parser.add_argument("--tokenizers", type=Path, help="folder of tokenizers to take the sizes from")
    parser.add_argument(
        "--checkpointing",
        choices=("none", "block"),
        help="compute blocks again in the backward pass (default: block where the config's recompute.mode is "
        "blocks for every block, else none)",
    )
    parser.add_argument(
        "--sharding",
        choices=("full", "optimizer"),
        default="full",
        help="share out weights, gradients and moments over data-parallel ranks (default), or moments only",
    )
    parser.add_argument("--precision", choices=("bf16-mixed", "32-true"), default="bf16-mixed")
    parser.add_argument(
        "--tokens", type=float, help="budget of a whole run, such as 300e9, for days and loss"
    )
    parser.add_argument(
        "--json",
        type=Path,
        nargs="?",
        const=STDOUT,
        metavar="FILE",
        help="write JSON to FILE, or print it only",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Plan and print.

    Raises:
        ValueError: a config, mesh or number that can't work; the message names key, value and what would do.
    """
    from omni.planning.estimate import all_layouts, best, budget_of, lay_out
    from omni.planning.meshes import parse_mesh
    from omni.planning.summary import summary

    if args.gpus < 1:
        raise ValueError(f"--gpus must be at least 1, got {args.gpus}")
    task = _task(args)
    layouts = all_layouts(task, args.gpus)
    if args.mesh is None and not layouts:
        raise ValueError(f"--gpus {args.gpus}: no mesh of that many suits the config; use a power of two")
    chosen = lay_out(task, parse_mesh(args.mesh, args.gpus)) if args.mesh else best(layouts)
    budget = budget_of(task, chosen, args.tokens) if args.tokens is not None else None
    figures = {"config": str(args.config)} | summary(task, chosen, layouts, budget)
    if args.json == STDOUT:
        print(json.dumps(figures, indent=1))
        return
    from omni.cli.plan_tables import print_plan

    print_plan(figures)
    write_json(args.json, figures)


def _task(args: argparse.Namespace) -> Task:
    from omni.planning.estimate import Task
    from omni.planning.hardware import gpu_named
    from omni.planning.source import read_source

    source = read_source(args.config)
    return Task(
        config=source.config,
        vocabulary=_vocabulary(args, source.config),
        workload=_workload(args, source),
        gpu=gpu_named(args.gpu),
        checkpointing=args.checkpointing or _checkpointing(source.config),
        precision=args.precision,
        sharding=args.sharding,
    )


def _checkpointing(config: ModelConfig) -> Checkpointing:
    """What the config computes again, as far as the plan knows it: all blocks, or nothing."""
    return "block" if config.recompute.mode == "blocks" and config.recompute.every == 1 else "none"


def _workload(args: argparse.Namespace, source: Source) -> Workload:
    """The experiment's rows, unless the command line says otherwise."""
    from omni.planning.workload import Learnt, Mix, Workload

    names = ("length", "document", "rows", "accumulate", "picture", "clip")
    given = {name: getattr(args, name) for name in names}
    sizes = source.workload | {name: value for name, value in given.items() if value is not None}
    mix = Mix()
    if args.mix is not None:
        shares = named_numbers("--mix", args.mix, ("text", "image", "audio"), float)
        mix = Mix(**({"text": 0.0} | shares))
    learnt = {"image": 0.5, "audio": 0.5} if source.config.encoders.any else {}
    if args.learnt is not None:
        learnt |= named_numbers("--learnt", args.learnt, ("text", "image", "audio"), float)
    return Workload(**sizes, mix=mix, learnt=Learnt(**learnt))


def _vocabulary(args: argparse.Namespace, config: ModelConfig) -> Vocabulary:
    """Sizes by width, or those of tokenizers; single ones can be given."""
    from dataclasses import asdict, replace

    from omni.planning.parameters import default_vocabulary

    sizes = default_vocabulary(config)
    if args.tokenizers is not None:
        from omni.checkpoint import vocabulary_of
        from omni.tokenizers.bundle import Tokenizers

        sizes = vocabulary_of(Tokenizers.load(args.tokenizers))
    if args.vocabulary is None:
        return sizes
    return replace(sizes, **named_numbers("--vocabulary", args.vocabulary, tuple(asdict(sizes)), int))


def named_numbers(
    option: str, text: str, names: tuple[str, ...], kind: Callable[[str], Number]
) -> dict[str, Number]:
    """Numbers written as ``a=1,b=2``.

    Raises:
        ValueError: a name that isn't one of ``names``, or what is no number, or below zero.
    """
    numbers: dict[str, Number] = {}
    for part in text.split(","):
        name, _, value = part.strip().partition("=")
        if name not in names:
            raise ValueError(f"{option} {text}: unknown name {name!r}, expected some of {', '.join(names)}")
        try:
            numbers[name] = kind(value)
        except ValueError:
            raise ValueError(f"{option} {text}: {name} must be a number, got {value!r}") from None
        if numbers[name] < 0:
            raise ValueError(f"{option} {text}: {name} must not be negative, got {value}")
    return numbers
