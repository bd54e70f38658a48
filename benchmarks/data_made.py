"""The documents of ``benchmarks.data``: made, written as shards, decoded and put into batches.

All loaders share what is here: the same files, decoder and batches.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from collections.abc import Sequence as Seq
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import webdataset
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import default_collate

from benchmarks.decode import clip, picture
from omni.datamodules.shards.format import VERSION
from omni.datamodules.shards.index_folder import index_folder
from omni.media import read_audio, read_image
from omni.tokenizers.audio.spectral import SpectralCodec, SpectralConfig
from omni.tokenizers.bundle import Tokenizers
from omni.tokenizers.image import ImageTokenizer, ImageTokenizerConfig
from omni.tokenizers.text import TextTokenizer

DISTINCT = 200
"""Pictures and clips that are made; documents combine them."""
SIDE, RATE = 224, 16_000
JSON, JPEG, FLAC = "json", "0.jpg", "1.flac"
"""Members of a document."""
WORDS = ("the", "a", "of", "one", "red", "blue", "loud", "quiet", "bird", "river", "stone", "voice", "light")


class Decoded(NamedTuple):
    """A document as every loader decodes it."""

    pixels: UInt8[np.ndarray, "height width 3"]
    waveform: Float[np.ndarray, " W"]
    text: str


class Batch(NamedTuple):
    """What every loader delivers."""

    pixels: UInt8[Tensor, "documents height width 3"]
    waveforms: Float[Tensor, "documents W"]
    texts: list[str]


def write_documents(folder: Path, documents: int, shards: int) -> None:
    """Write so many documents into ``folder/000000.tar`` ..., and their indexes."""
    random = np.random.default_rng(0)
    pictures, clips = ([make(seed) for seed in range(min(DISTINCT, documents))] for make in (picture, clip))
    folder.mkdir(parents=True)
    pattern = f"{folder.resolve()}/%06d.tar"
    with webdataset.ShardWriter(pattern, maxcount=-(-documents // shards), verbose=0) as sink:
        for number in range(documents):
            a, b = random.integers(len(pictures), size=2)
            text = " ".join(random.choice(WORDS, random.integers(10, 60)))
            head = json.dumps(_head(f"{number:08d}", text)).encode()
            sink.write({"__key__": f"{number:08d}", JSON: head, JPEG: pictures[a], FLAC: clips[b]})
    index_folder(folder)


def _head(key: str, text: str) -> dict[str, Any]:
    return {
        "version": VERSION,
        "id": key,
        "source": "made up",
        "segments": [
            {"type": "image", "file": JPEG, "width": SIDE, "height": SIDE},
            {"type": "audio", "file": FLAC, "sample_rate": RATE, "samples": RATE},
            {"type": "text", "text": text},
        ],
    }


@cache
def made_tokenizers() -> Tokenizers:
    """Tokenizers for these documents: words, patches of 16 x 16 (196 a picture), 6 codes for each 40 ms."""
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(WORDS, 30)) for _ in range(200)]
    noise = [random.normal(0, 0.1, 4 * RATE).astype(np.float32) for _ in range(4)]
    return Tokenizers(
        TextTokenizer.train(texts, vocab_size=420),
        ImageTokenizer(ImageTokenizerConfig()),
        SpectralCodec.fit(noise, SpectralConfig.at(RATE, fit_iterations=2)),
    )


def text_of(head: bytes) -> str:
    """The text in a document's JSON."""
    text: str = json.loads(head)["segments"][2]["text"]
    return text


def decode(members: Mapping[str, bytes]) -> Decoded:
    """The document of these members, by the decoder that all loaders share."""
    return Decoded(read_image(members[JPEG]), read_audio(members[FLAC])[0], text_of(members[JSON]))


def batched(documents: Seq[Decoded]) -> Batch:
    """Documents as one batch; in a worker process it is laid out in memory that the main process sees."""
    pixels: Tensor = default_collate([torch.from_numpy(document.pixels) for document in documents])
    waveforms: Tensor = default_collate([torch.from_numpy(document.waveform) for document in documents])
    return Batch(pixels, waveforms, [document.text for document in documents])


def checksum(batch: Batch) -> int:
    """A number to which the documents add up in any order and in any batches."""
    waveforms = batch.waveforms.view(torch.int32).sum(dtype=torch.int64)
    return int(batch.pixels.sum(dtype=torch.int64)) + int(waveforms) + sum(map(len, batch.texts))
