"""Compares decoders of pictures and sound: microseconds of CPU time a file, and the ratio to what omni uses.

Command:  python -m benchmarks.decode [--json FILE] [--rounds 7]
Time:     under a minute on one core
Result:   a table; with --json one entry per decoder: microseconds, speed (of `omni`, 1.0 for itself), worst_level

The files are made here: 224x224 JPEGs of about 8.5 KB and FLACs of 1 s at 16 kHz of about 23 KB. All decoders that
are installed take turns in one process; figures are medians over the rounds. ``worst_level`` is the largest
difference to Pillow's pixels in grey levels, or to libsndfile's samples in 16-bit steps.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import soundfile
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from omni.cli.json_file import add_json_option, write_json
from omni.media import encode_flac, read_audio, read_image

FILES = 60
Decoder = Callable[[bytes], np.ndarray]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7, help="each decoder's turns, at least 5")
    add_json_option(parser)
    args = parser.parse_args()
    if args.rounds < 5:
        parser.error(f"--rounds {args.rounds}: medians need at least 5")
    torch.set_num_threads(1)
    pictures, clips = [picture(seed) for seed in range(FILES)], [clip(seed) for seed in range(FILES)]
    figures: dict[str, Any] = {
        "jpeg": measure(picture_decoders(), pictures, args.rounds, "pillow", 1),
        "flac": measure(sound_decoders(), clips, args.rounds, "soundfile", 2**15),
        "jpeg_bytes": statistics.mean(map(len, pictures)),
        "flac_bytes": statistics.mean(map(len, clips)),
    }
    for kind in ("jpeg", "flac"):
        print(f"{kind}, {figures[f'{kind}_bytes'] / 1000:.1f} KB")
        for name, row in figures[kind].items():
            print(
                f"  {name:24}{row['microseconds']:8.0f} µs  {row['speed']:5.2f} x omni  "
                f"differs by {row['worst_level']:.3g}"
            )
    write_json(args.json, figures)


def picture(seed: int) -> bytes:
    """A JPEG of smooth colours with some noise, as heavy as a photograph of its size."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (14, 14, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((224, 224), Image.Resampling.BICUBIC), np.float64)
    noisy = smooth + random.normal(0, 6, smooth.shape)
    buffer = io.BytesIO()
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


def clip(seed: int) -> bytes:
    """A FLAC of coloured noise that swells, which packs about as speech does."""
    random = np.random.default_rng(seed)
    noise = np.convolve(random.normal(size=16_000), np.ones(4) / 4, "same")
    swell = 0.08 * (1.1 + np.sin(np.linspace(0, 12, 16_000)))
    return encode_flac((noise * swell).clip(-1, 1).astype(np.float32), 16_000)


def picture_decoders() -> dict[str, Decoder]:
    """Name to decoder of a JPEG to ``(height, width, 3)``, uint8; those that are installed."""
    decoders: dict[str, Decoder] = {"omni": read_image, "pillow": _pillow, "torchvision": _torchvision}
    if importlib.util.find_spec("simplejpeg"):
        import simplejpeg

        buffer = np.empty((224, 224, 3), np.uint8)
        decoders["simplejpeg"] = lambda data: simplejpeg.decode_jpeg(data, "RGB")
        decoders["simplejpeg to a buffer"] = lambda data: simplejpeg.decode_jpeg(data, "RGB", buffer=buffer)
        decoders["simplejpeg fast DCT"] = lambda data: simplejpeg.decode_jpeg(data, "RGB", fastdct=True)
    return decoders


def _pillow(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as opened:
        return np.asarray(opened.convert("RGB"))


def _torchvision(data: bytes) -> np.ndarray:
    raw = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    return decode_image(raw, ImageReadMode.RGB).permute(1, 2, 0).contiguous().numpy()


def sound_decoders() -> dict[str, Decoder]:
    """Name to decoder of a FLAC to ``(samples,)``, float32; those that are installed and load."""
    decoders: dict[str, Decoder] = {
        "omni": lambda data: read_audio(data)[0],
        "soundfile": lambda data: soundfile.read(io.BytesIO(data), dtype="float32")[0],
    }
    if importlib.util.find_spec("torchcodec"):
        try:
            _torchcodec(clip(0))
        except (ImportError, OSError, RuntimeError) as error:
            print(f"torchcodec is installed and doesn't load: {str(error).splitlines()[0]} It needs FFmpeg.")
        else:
            decoders["torchcodec"] = _torchcodec
    return decoders


def _torchcodec(data: bytes) -> np.ndarray:
    from torchcodec.decoders import AudioDecoder

    return AudioDecoder(data).get_all_samples().data[0].numpy()


def measure(
    decoders: Mapping[str, Decoder], files: Sequence[bytes], rounds: int, reference: str, levels: int
) -> dict[str, dict[str, Any]]:
    """CPU time and content of each decoder, which take turns.

    Args:
        decoders: by name, ``omni`` among them.
        files: that each decodes in each round.
        rounds: turns of each.
        reference: name of the decoder whose content is compared with.
        levels: steps in 1.0 of the content.
    """
    seconds: dict[str, list[float]] = {name: [] for name in decoders}
    for _ in range(rounds):
        for name, decode in decoders.items():
            start = time.process_time()
            for content in files:
                decode(content)
            seconds[name].append((time.process_time() - start) / len(files))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    wanted = [decoders[reference](content).astype(np.float64) for content in files]
    worst = {
        name: max(
            float(np.abs(decode(content) - want).max()) for content, want in zip(files, wanted, strict=True)
        )
        for name, decode in decoders.items()
    }
    return {
        name: {
            "microseconds": medians[name] * 1e6,
            "speed": medians["omni"] / medians[name],
            "worst_level": worst[name] * levels,
        }
        for name in decoders
    }


if __name__ == "__main__":
    main()
