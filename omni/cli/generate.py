"""``omni generate``: one answer from a checkpoint, in text, picture or sound."""

from __future__ import annotations

import argparse
from dataclasses import MISSING, fields
from pathlib import Path
from typing import TYPE_CHECKING

from omni.cli.json_file import add_json_option, write_json

if TYPE_CHECKING:
    from omni.sequence import Segment


class _AddSegment(argparse.Action):
    """Collects --text, --image and --audio in the order they were given."""

    def __call__(self, parser, namespace, values, option_string=None) -> None:  # type: ignore[no-untyped-def]
        namespace.prompt = [*(namespace.prompt or []), (self.dest, values)]


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``generate``."""
    from omni.inference.sampling import SamplingOptions

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
        "--out", help="file for the picture (.png) or sound (.wav) of the answer; default answer.png / .wav"
    )
    parser.add_argument(
        "--continue", dest="chat", action="store_false", help="continue the document instead of answering"
    )
    parser.add_argument("--device", default="cpu", help="device of the model (default cpu)")
    add_json_option(parser)
    for option in fields(SamplingOptions):
        assert option.default is not MISSING, option.name
        parser.add_argument(
            "--" + option.name.replace("_", "-"),
            type=type(option.default),
            default=option.default,
            help=f"sampling option (default {option.default})",
        )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Generate, print texts, write pictures and sound.

    Raises:
        ValueError: no prompt, a missing or bad media file, an unknown modality, a bad checkpoint.
    """
    from omni.inference.omni import Omni
    from omni.inference.sampling import SamplingOptions
    from omni.modality import modality_named

    if args.prompt is None and args.chat and args.want is None:
        raise ValueError(
            "no prompt: give --text, --image or --audio, or --want to draw or say something at will"
        )
    want = modality_named(args.want, "--want").name if args.want is not None else None
    options = SamplingOptions(
        **{option.name: getattr(args, option.name) for option in fields(SamplingOptions)}
    )
    prompt = [_segment(kind, value) for kind, value in args.prompt or []]
    answer = Omni.from_checkpoint(args.checkpoint, args.device).generate(
        prompt, want, options, chat=args.chat
    )
    described = [_emit(segment, args.out, number) for number, segment in enumerate(answer)]
    write_json(args.json, {"answer": described})


def _segment(kind: str, value: str) -> Segment:
    from omni.media import read_audio, read_image
    from omni.sequence import Audio, Image, Text

    if kind == "image":
        return Image(read_image(value))
    return Audio(*read_audio(value)) if kind == "audio" else Text(value)


def _emit(segment: Segment, out: str | None, number: int) -> dict[str, str]:
    """Print a text, write a clip; returns the entry for ``--json``."""
    from omni.media import encode_png, write_wav
    from omni.sequence import Audio, Image, Text

    if isinstance(segment, Text):
        print(segment.text)
        return {"type": "text", "text": segment.text}
    stem = "answer" if number == 0 else f"answer-{number}"
    path = Path(out) if out else Path(f"{stem}.{'png' if isinstance(segment, Image) else 'wav'}")
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(segment, Image):
        path.write_bytes(encode_png(segment.pixels))
    else:
        assert isinstance(segment, Audio), segment
        write_wav(path, segment.waveform, segment.sample_rate)
    print(f"{segment.modality.name}: {path}")
    return {"type": segment.modality.name, "file": str(path)}
