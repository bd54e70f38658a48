"""Tiny tokenizers and documents, made in a second: what tests of stream, model and programs run on."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from omni.sequence import Audio, Document, Image, Segment, Text, turn_of
from omni.tokenizers.audio.spectral import SpectralCodec, SpectralConfig
from omni.tokenizers.bundle import Tokenizers
from omni.tokenizers.image import ImageTokenizer, ImageTokenizerConfig
from omni.tokenizers.text import TextTokenizer

SAMPLE_RATE = 8_000
WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SENTENCES = tuple(
    f"{question} {first} plus {second} is a sum, said the reader."
    for question in ("which digit?", "draw a digit", "say a digit")
    for first in WORDS
    for second in WORDS
)
TASKS = (
    "image_to_text",
    "text_to_image",
    "audio_to_text",
    "text_to_audio",
    "image_to_audio",
    "audio_to_image",
)


@cache
def tiny_tokenizers() -> Tokenizers:
    """330 pieces of text; grey 4x4 patches, at most 16; 3 x 16 codes at 25 frames a second."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums, and so the codec, depend on the number
    codec = SpectralCodec.fit(
        [tone(digit, seconds=0.3) for digit in range(len(WORDS))],
        SpectralConfig(components=8, codebooks=3, codebook_size=16, fit_iterations=5, phase_iterations=4),
    )
    torch.set_num_threads(threads)
    return Tokenizers(
        TextTokenizer.train(SENTENCES, vocab_size=330, max_grid=8),
        ImageTokenizer(ImageTokenizerConfig(patch_size=4, channels=1, max_patches=16, max_grid=8)),
        codec,
    )


def tone(digit: int, seconds: float = 0.2) -> Float[np.ndarray, " W"]:
    """A chord that stands for the spoken digit: 8 kHz, faded in and out."""
    time_W = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = 200.0 + 120.0 * digit
    wave_W = np.sin(2 * np.pi * pitch * time_W) + 0.5 * np.sin(2 * np.pi * 2.5 * pitch * time_W)
    fade_W = np.sin(np.pi * np.linspace(0.0, 1.0, len(time_W)))
    return (0.5 * wave_W * fade_W).astype(np.float32)


def picture(digit: int, height: int = 8, width: int = 8) -> UInt8[np.ndarray, "height width 3"]:
    """Grey stripes that stand for the drawn digit."""
    row, column = np.mgrid[:height, :width]
    grey = 127.5 + 127.5 * np.sin(0.4 * (digit + 1) * (row + 0.3 * digit * column))
    return np.repeat(grey.astype(np.uint8)[:, :, None], 3, axis=2)


@cache
def tiny_documents(n: int = 60, seed: int = 0) -> tuple[Document, ...]:
    """Documents of every direction between text, image and audio, then running text, then an interleaved sum.

    Document ``i`` is a function of (``seed``, ``i``) only. Keys are ``000000``, ``000001`` ...
    """
    return tuple(_document(index, seed) for index in range(n))


def _document(index: int, seed: int) -> Document:
    random = np.random.default_rng([seed, index])
    first, second = (int(digit) for digit in random.integers(len(WORDS), size=2))
    kind = index % (len(TASKS) + 2)
    key = f"{index:06d}"
    if kind == len(TASKS):
        text = SENTENCES[int(random.integers(len(SENTENCES)))] * int(random.integers(1, 4))
        return Document((Text(text),), key=key, source="prose")
    if kind == len(TASKS) + 1:
        question = (
            _clip("image", first, random),
            Text(" plus "),
            _clip("audio", second, random),
            Text(" is?"),
        )
        answer: Segment = Text(WORDS[(first + second) % 10])
        return _turns(question, answer, key, "sum", WORDS[(first + second) % 10])
    have, want = TASKS[kind].split("_to_")
    asked = (
        _clip(have, first, random),
        Text({"text": "which digit?", "image": "draw it", "audio": "say it"}[want]),
    )
    return _turns(asked, _clip(want, first, random), key, TASKS[kind], WORDS[first])


def _turns(question: tuple[Segment, ...], answer: Segment, key: str, source: str, label: str) -> Document:
    asked = turn_of(question, "user", loss=False)
    return Document(
        (*asked, *turn_of((answer,), "assistant", loss=True)), key=key, source=source, label=label
    )


def _clip(modality: str, digit: int, random: np.random.Generator) -> Segment:
    if modality == "text":
        return Text(WORDS[digit])
    if modality == "image":
        height, width = (int(side) for side in random.choice([4, 8, 12], size=2))
        return Image(picture(digit, height, width))
    return Audio(tone(digit, seconds=float(random.uniform(0.05, 0.3))), SAMPLE_RATE)


def write_tar(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    """A plain tar of members in the given order, whatever their names."""
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path
