"""``omni generate``: answers from a checkpoint, in text, picture or sound."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from omni.cli.generate_bulk import run_bulk
from omni.cli.json_file import add_json_option, write_json
from omni.cli.media_file import write_media
from omni.cli.sampling_options import add_sampling_options, sampling_options_of
from omni.modality import Modality, modality_named

if TYPE_CHECKING:
    from omni.sequence import Segment


class _AddSegment(argparse.Action):
    """Collects --text, --image and --audio in the order they were given."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:  # type: ignore[no-untyped-def]
        namespace.prompt = [*(namespace.prompt or []), (self.dest, values)]


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``generate``."""
    parser = subparsers.add_parser(
        "generate",
        help="answer a prompt of texts, pictures and clips from a checkpoint",
        description="Answers a prompt. --text, --image and --audio can be repeated; their order is the prompt's.",
    )
    parser.add_argument(
        "checkpoint", help="checkpoint of `omni fit` or `omni demo`, such as runs/demo/checkpoints/last.ckpt"
    )
    parser.set_defaults(prompt=None)
    for name, what in (("text", "a piece of text"), ("image", "a picture file"), ("audio", "a sound file")):
        parser.add_argument(
            f"--{name}",
            action=_AddSegment,
            help=f"{what}, as the next part of the prompt",
            default=argparse.SUPPRESS,
        )
    parser.add_argument(
        "--want", help="modality of the answer: text, image or audio (default: the model decides)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="file for the picture (.png) or sound (.wav) of the answer, by default answer.png or answer.wav; "
        "a second one is FILE-1.png, and so on; with --data the .jsonl file of the answers",
    )
    parser.add_argument(
        "--data",
        metavar="DATA",
        help="answer every document of a folder of shards, or of a .jsonl file as `omni shards import jsonl` takes: "
        "what stands before the assistant's last turn is the prompt; a run that was stopped goes on",
    )
    parser.add_argument(
        "--slots", type=int, default=64, help="with --data: answers to work on at once (default 64)"
    )
    parser.add_argument(
        "--continue", dest="chat", action="store_false", help="continue the document instead of answering"
    )
    parser.add_argument("--device", default="cpu", help="device of the model (default cpu)")
    parser.add_argument(
        "--weights", default="fp32", help="fp32, bf16 or int8: what weights are kept in (default fp32)"
    )
    add_json_option(parser, help="also write the answer to this JSON file: its texts, and the files it is in")
    add_sampling_options(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Generate, print texts, write pictures and sound.

    Raises:
        ValueError: no prompt, a missing or bad media file, an unknown modality, a bad checkpoint, or a file for
            the answer that ends otherwise than its modality's; with ``--data``, as of ``run_bulk``.
    """
    from omni.baselines.systems import open_system

    if args.data is not None and args.prompt is not None:
        raise ValueError("--data has the prompts: leave --text, --image and --audio out")
    if args.data is None and args.prompt is None and args.chat and args.want is None:
        raise ValueError(
            "no prompt: give --text, --image or --audio, or --want to draw or say something at will"
        )
    want = modality_named(args.want, "--want") if args.want is not None else None
    options = sampling_options_of(args)
    if args.data is not None:
        run_bulk(args, want, options)
        return
    if want is not None and want.answer_suffix and args.out is not None and not _fits(args.out, want):
        raise ValueError(
            f"--out {args.out}: for --want {want.name} expected a name that ends in .{want.answer_suffix}"
        )
    prompt = [_segment(kind, value) for kind, value in args.prompt or []]
    answer = open_system(args.checkpoint, args.device, args.weights).generate(
        prompt, want.name if want is not None else None, options, chat=args.chat
    )
    write_json(args.json, {"answer": _emit(answer, args.out)})


def _segment(kind: str, value: str) -> Segment:
    from omni.media import read_audio, read_image
    from omni.sequence import Audio, Image, Text

    if kind == "image":
        return Image(read_image(value))
    return Audio(*read_audio(value)) if kind == "audio" else Text(value)


def _emit(answer: list[Segment], out: Path | None) -> list[dict[str, str]]:
    """Print texts, write pictures and clips; returns the entries for ``--json``."""
    from omni.sequence import Text

    described: list[dict[str, str]] = []
    written = 0
    for segment in answer:
        if isinstance(segment, Text):
            print(segment.text)
            described.append({"type": segment.modality.name, "text": segment.text})
            continue
        path = _file(out, segment.modality, written)
        write_media(path, segment)
        written += 1
        print(f"{segment.modality.name}: {path}")
        described.append({"type": segment.modality.name, "file": str(path)})
    if out is not None and not written:
        print(f"--out {out} was not used: the answer has no picture or sound", file=sys.stderr)
    return described


def _fits(path: Path, modality: Modality) -> bool:
    return path.suffix.lower() == f".{modality.answer_suffix}"


def _file(out: Path | None, modality: Modality, number: int) -> Path:
    """File of the picture or clip that follows ``number`` others: ``out`` with the right suffix and the number."""
    path = out or Path("answer")
    if not _fits(path, modality):
        path = path.with_suffix(f".{modality.answer_suffix}")
    if number:
        path = path.with_stem(f"{path.stem}-{number}")
    if out is not None and not _fits(out, modality):
        print(
            f"--out {out} became {path}: that is the ending of the answer's {modality.name}", file=sys.stderr
        )
    return path
