"""``omni tokenizer``: train, import and check tokenizers of text and audio."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omni.cli.json_file import add_json_option, write_json

if TYPE_CHECKING:  # they bring torch; `omni --help` shall not wait for it
    import numpy as np
    from jaxtyping import Float

    from omni.datamodules.media_files import MediaFile
    from omni.evaluation.codec_check import CodecCheck
    from omni.tokenizers.audio.base import AudioCodec

SOUND_HELP = (
    "a sound file, or a folder of wav, flac, ogg and mp3 files or of WebDataset shards (*.tar) with them"
)
TEXT_HELP = (
    "a file, or a folder of txt, md, rst, py and jsonl files or of WebDataset shards (*.tar) of documents"
)
PRETRAINED = ("mimi", "encodec", "dac")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add ``tokenizer`` with its actions."""
    parser = subparsers.add_parser("tokenizer", help="train, import and check tokenizers of text and audio")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_train_audio(actions)
    _add_train_text(actions)
    importing = actions.add_parser(
        "import-audio",
        help="save a pretrained codec of the transformers library as a codec folder",
        description="The codec folder carries configuration and weights, so nothing is downloaded later.",
    )
    importing.add_argument("--kind", choices=PRETRAINED, required=True, help="which codec it is")
    importing.add_argument(
        "--from", dest="source", metavar="PATH_OR_HUB", required=True,
        help="a folder, or a name on the Hugging Face hub such as kyutai/mimi",
    )  # fmt: skip
    importing.add_argument("--out", type=Path, metavar="FOLDER", required=True, help="folder of the codec")
    importing.add_argument(
        "--codebooks", type=int, metavar="K", help="codes per frame to keep (default: all)"
    )
    add_json_option(importing)
    importing.set_defaults(run=run_import_audio)
    check = actions.add_parser(
        "check-audio", help="measure what a codec keeps of sounds, and the use of its codes"
    )
    check.add_argument("folder", type=Path, metavar="FOLDER", help="folder of the codec")
    check.add_argument("--data", type=Path, metavar="PATH", required=True, help=SOUND_HELP)
    _add_amount(check)
    add_json_option(check)
    check.set_defaults(run=run_check_audio)


def _add_train_audio(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser(
        "train-audio",
        help="fit or train an audio codec on sounds",
        description="`spectral` fits in seconds and keeps speech intelligible at 25 frames/s; `neural` keeps the "
        "waveform, at more frames/s and minutes of training. What is not given has the kind's own default.",
    )
    parser.add_argument("--kind", choices=("spectral", "neural"), default="spectral", help="default spectral")
    parser.add_argument("--data", type=Path, metavar="PATH", required=True, help=SOUND_HELP)
    parser.add_argument("--out", type=Path, metavar="FOLDER", required=True, help="folder of the codec")
    parser.add_argument(
        "--sample-rate", type=int, metavar="HZ", default=8_000, help="of the codec (default 8000)"
    )
    parser.add_argument("--codebooks", type=int, metavar="K", help="codes per frame (default 6, neural 4)")
    parser.add_argument("--codebook-size", type=int, metavar="Q", help="values of a code (default 256)")
    neural = parser.add_argument_group("neural only")
    neural.add_argument("--steps", type=int, metavar="N", help="optimizer steps (default 1000)")
    neural.add_argument("--batch-size", type=int, metavar="B", help="crops of a step (default 16)")
    neural.add_argument(
        "--strides", type=_numbers, metavar="S,S", help="downsampling of each stage; their product is the samples "
        "of a frame (default 8,4)",
    )  # fmt: skip
    neural.add_argument(
        "--channels", type=_numbers, metavar="C,C", help="width of each stage (default 64,96)"
    )
    parser.add_argument(
        "--held-out", type=float, metavar="SHARE", default=0.05,
        help="share of the sounds that are kept from training and measured with (default 0.05)",
    )  # fmt: skip
    _add_amount(parser)
    add_json_option(parser)
    parser.set_defaults(run=run_train_audio)


def _add_amount(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-hours",
        type=float,
        metavar="H",
        default=10.0,
        help="stop reading at this much sound (default 10)",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="order of the sounds, and all that is drawn (default 0)"
    )


def _add_train_text(actions: argparse._SubParsersAction) -> None:
    parser = actions.add_parser("train-text", help="train a SentencePiece text tokenizer")
    parser.add_argument("--data", type=Path, metavar="PATH", required=True, help=TEXT_HELP)
    parser.add_argument("--out", type=Path, metavar="FOLDER", required=True, help="folder for text.model")
    parser.add_argument(
        "--vocab-size", type=int, metavar="N", required=True, help="pieces, control symbols included"
    )
    parser.add_argument(
        "--max-grid", type=int, metavar="N", default=64, help="most rows or columns of patches (default 64)"
    )
    add_json_option(parser)
    parser.set_defaults(run=run_train_text)


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected whole numbers such as 8,4, got {text!r}") from error


def run_train_audio(args: argparse.Namespace) -> None:
    """Read sounds, train a codec, save it, measure it on the sounds that were held out."""
    if not 0 <= args.held_out < 1:
        raise ValueError(
            f"--held-out is a share of the sounds, expected 0 to less than 1, got {args.held_out:g}"
        )
    make = _trainer(args)
    waveforms, read = _read_sounds(args.data, args.sample_rate, args)
    held = round(args.held_out * len(waveforms))
    start = time.perf_counter()
    codec = make(waveforms[held:])
    taken = time.perf_counter() - start
    codec.save(args.out)
    print(f"{args.out}: {args.kind} codec, {codec.codebooks} x {codec.codebook_size} codes at "
          f"{codec.frame_rate:g} frames/s, trained on {len(waveforms) - held} clips in {taken:.1f} s")  # fmt: skip
    figures = {"kind": args.kind, **read, "clips": len(waveforms) - held, "training_seconds": taken,
               "fingerprint": codec.fingerprint, "held_out": None}  # fmt: skip
    if held:
        figures["held_out"] = _checked(codec, waveforms[:held], "held-out ")
    elif args.held_out:
        print(f"{len(waveforms)} clips are too few to hold out {args.held_out:g} of them, so the codec was not "
              "measured; `omni tokenizer check-audio` does it")  # fmt: skip
    write_json(args.json, figures)


def _trainer(args: argparse.Namespace) -> Any:
    """A function from waveforms to the codec that the options describe; bad options are errors right away."""
    shape = {
        name: getattr(args, name)
        for name in ("codebooks", "codebook_size")
        if getattr(args, name) is not None
    }
    neural_shape = {
        name: getattr(args, name) for name in ("strides", "channels") if getattr(args, name) is not None
    }
    plan = {name: getattr(args, name) for name in ("steps", "batch_size") if getattr(args, name) is not None}
    if args.kind == "spectral":
        if neural_shape or plan:
            given = ", ".join("--" + name.replace("_", "-") for name in (*neural_shape, *plan))
            raise ValueError(f"{given}: only for --kind neural, got --kind spectral")
        from omni.tokenizers.audio.spectral import SpectralCodec, SpectralConfig

        config = SpectralConfig.at(args.sample_rate, **shape)
        return lambda waveforms: SpectralCodec.fit(waveforms, config, args.seed)
    from omni.tokenizers.audio.neural_network import NeuralConfig
    from omni.tokenizers.audio.neural_training import NeuralTrainingConfig, train_neural_codec

    network = NeuralConfig(sample_rate=args.sample_rate, **shape, **neural_shape)
    training = NeuralTrainingConfig(**plan)
    return lambda waveforms: train_neural_codec(waveforms, network, training, args.seed)


def run_train_text(args: argparse.Namespace) -> None:
    """Read texts and train a text tokenizer."""
    from omni.datamodules.media_files import Unreadable, read_texts
    from omni.tokenizers.text import TextTokenizer

    unreadable = Unreadable()
    texts = list(read_texts(args.data, unreadable, _track("Reading texts")))
    if not texts:
        raise ValueError(f"{args.data}: no text to train on; {unreadable}")
    tokenizer = TextTokenizer.train(texts, args.vocab_size, args.max_grid)
    tokenizer.save(args.out)
    characters = sum(map(len, texts))
    tokens = sum(len(tokenizer.encode(text)) for text in texts)
    print(f"{args.data}: {len(texts)} texts, {characters} characters; {unreadable}")
    print(
        f"{args.out}: {args.vocab_size} pieces, {characters / tokens:.2f} characters per token on these texts"
    )
    figures = {"texts": len(texts), "characters": characters, "characters_per_token": characters / tokens}
    write_json(args.json, {**figures, "unreadable": unreadable.messages})


def run_import_audio(args: argparse.Namespace) -> None:
    """Load a pretrained codec and save it as a codec folder."""
    from omni.tokenizers.audio.registry import codec_class

    codec = codec_class(args.kind).load(args.source, args.codebooks)  # type: ignore[attr-defined]
    codec.save(args.out)
    print(f"{args.out}: {args.kind} codec, {codec.codebooks} x {codec.codebook_size} codes at "
          f"{codec.frame_rate:g} frames/s, {codec.sample_rate} Hz")  # fmt: skip
    names = ("kind", "codebooks", "codebook_size", "frame_rate", "sample_rate", "fingerprint")
    write_json(args.json, {name: getattr(codec, name) for name in names})


def run_check_audio(args: argparse.Namespace) -> None:
    """Measure a codec on sounds."""
    from omni.tokenizers.audio.registry import load_codec

    codec = load_codec(args.folder)
    waveforms, read = _read_sounds(args.data, codec.sample_rate, args)
    write_json(args.json, {**read, **_checked(codec, waveforms, "")})


def _read_sounds(
    path: Path, sample_rate: int, args: argparse.Namespace
) -> tuple[list[Float[np.ndarray, " _"]], dict[str, Any]]:
    """Waveforms, and figures of what was read."""
    from omni.datamodules.media_files import Unreadable, read_sounds

    unreadable = Unreadable()
    waveforms = read_sounds(
        path, sample_rate, args.seed, args.max_hours * 3600, unreadable, _track("Reading sounds")
    )
    seconds = sum(map(len, waveforms)) / sample_rate
    print(f"{path}: {len(waveforms)} clips, {seconds:.0f} s; {unreadable}")
    return waveforms, {"seconds": seconds, "unreadable": unreadable.messages}


def _checked(codec: AudioCodec, waveforms: list[Float[np.ndarray, " _"]], which: str) -> dict[str, Any]:
    """Figures of the codec on waveforms, printed as well."""
    from rich.progress import track

    from omni.evaluation.codec_check import check_codec

    check = check_codec(codec, track(waveforms, description="Checking", transient=True))
    _print_check(check, which, codec.codebook_size)
    return asdict(check)


def _print_check(check: CodecCheck, which: str, codebook_size: int) -> None:
    print(f"on {check.clips} {which}clips, {check.seconds:.0f} s, {check.silent_clips} silent:")
    if check.snr_db is not None:
        print(f"  signal-to-noise ratio {check.snr_db:.2f} dB, scale-invariant {check.si_sdr_db:.2f} dB")
        print(f"  log spectral distance {check.log_spectral_distance_db:.2f} dB")
    for level, use in enumerate(check.codebooks):
        print(
            f"  codebook {level}: {use.used} of {codebook_size} codes used, perplexity {use.perplexity:.1f}"
        )


def _track(description: str) -> Any:
    """A progress bar over files."""
    from rich.progress import track

    def progress(files: list[MediaFile]) -> Iterable[MediaFile]:
        return track(files, description=description, transient=True)

    return progress
