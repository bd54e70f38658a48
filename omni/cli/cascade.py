"""``omni cascade``: the data of each stage of a cascade, and the stages joined to one system."""

from __future__ import annotations

import argparse
from pathlib import Path

from omni.cli.json_file import add_json_option, write_json


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``cascade`` with its actions."""
    parser = subparsers.add_parser(
        "cascade",
        help="specialists that hand over plain text: their data, and all of them as one system",
        description="A baseline: recognisers, a language model and synthesisers, each trained alone by `omni fit` "
        "(configs/model/cascade/). `omni eval` and `omni generate` take the folder of `join` for a checkpoint.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    shards = actions.add_parser(
        "shards",
        help="write what each stage learns from shards of the unified model",
        description="Writes OUT/STAGE for image_to_text, audio_to_text, text_to_text, text_to_image and text_to_audio.",
    )
    shards.add_argument("data", type=Path, help="folder of shards")
    shards.add_argument("out", type=Path, help="folder for the folders of the stages")
    shards.add_argument(
        "--tokenizers", type=Path, required=True, help="measure the new shards for these tokenizers"
    )
    shards.add_argument(
        "--transcribed",
        help="sources whose labels say what stands in their media, separated by commas (default: the demo's)",
    )
    add_json_option(shards)
    shards.set_defaults(run=run_shards)
    join = actions.add_parser("join", help="write cascade.json, which names the checkpoint of each stage")
    join.add_argument("out", type=Path, help="folder for cascade.json")
    join.add_argument(
        "stages", nargs="+", metavar="STAGE=CKPT", help="such as text_to_text=runs/text/last.ckpt"
    )
    join.set_defaults(run=run_join)


def run_shards(args: argparse.Namespace) -> None:
    """Write the shards of all stages.

    Raises:
        ValueError: no shards there, or no document that a stage could learn from.
    """
    from omni.baselines.transcripts import STAGES, TRANSCRIBED, stage_documents
    from omni.datamodules.shards.index_folder import index_folder
    from omni.datamodules.shards.reader import ShardReader
    from omni.datamodules.shards.writer import write_shards
    from omni.tokenizers.bundle import Tokenizers

    codec = Tokenizers.load(args.tokenizers).audio.fingerprint
    reader = ShardReader(str(args.data), codec)
    transcribed = TRANSCRIBED if args.transcribed is None else tuple(args.transcribed.split(","))
    written: dict[str, dict[str, int]] = {}
    for stage in STAGES:
        documents = (reader[number] for number in range(len(reader)))
        counts = write_shards(stage_documents(documents, stage, transcribed), args.out / stage, codec=codec)
        index_folder(args.out / stage, args.tokenizers)
        written[stage] = dict(counts)
        said = ", ".join(f"{count} {source}" for source, count in counts.items())
        print(f"{args.out / stage}: {sum(counts.values())} of {len(reader)} documents ({said})")
    write_json(args.json, {"documents": len(reader), "written_by_source": written})


def run_join(args: argparse.Namespace) -> None:
    """Write ``cascade.json``.

    Raises:
        ValueError: something that is no STAGE=CKPT, an unknown stage, or a checkpoint that isn't there.
    """
    from omni.baselines.cascade import write_stages

    stages: dict[str, Path] = {}
    for given in args.stages:
        name, equals, path = given.partition("=")
        if not equals or not path:
            raise ValueError(
                f"{given!r}: expected STAGE=CKPT, such as text_to_text=runs/text/checkpoints/last.ckpt"
            )
        stages[name] = Path(path)
    print(write_stages(args.out, stages))
