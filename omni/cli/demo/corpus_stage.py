"""The demo's first two stages: the corpus as shards, and the tokenizers trained on it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from rich.progress import Progress

from omni.datamodules.demo.corpus import DemoCorpus
from omni.datamodules.shards.index_folder import index_folder
from omni.datamodules.shards.pool import workers_for
from omni.datamodules.shards.scan import shards_in
from omni.datamodules.shards.writer import write_shards
from omni.sequence import Document, Text
from omni.tokenizers.audio.spectral import SpectralCodec, SpectralConfig
from omni.tokenizers.bundle import Tokenizers
from omni.tokenizers.image import ImageTokenizer, ImageTokenizerConfig
from omni.tokenizers.text import TextTokenizer

VOCAB_SIZE = 1024
IMAGE = ImageTokenizerConfig(patch_size=4, channels=1, max_patches=48, max_grid=12)


def build_corpus(seed: int, speech: Path | None, scale: float, progress: Progress) -> DemoCorpus:
    """Synthesise or read speech, draw charts."""
    tasks = {}

    def report(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = progress.add_task(f"Data: {stage}", total=total)
        progress.update(tasks[stage], completed=done)

    return DemoCorpus.build(seed, speech, scale, report)


def write_corpus(corpus: DemoCorpus, folder: Path, progress: Progress) -> dict[str, dict[str, int]]:
    """Write ``folder/train`` and ``folder/heldout``; returns documents by source of each."""
    written = {}
    for part, documents, size in (
        ("train", corpus.train(), corpus.train_size),
        ("heldout", corpus.heldout(), corpus.heldout_size),
    ):
        total = sum(size.counts().values())
        tracked = progress.track(documents, total=total, description=f"Data: writing {part} shards")
        written[part] = write_shards(tracked, folder / part)
    return written


def train_tokenizers(corpus: DemoCorpus, folder: Path, seed: int, progress: Progress) -> Tokenizers:
    """Train the text tokenizer on the training texts and fit the audio codec on the training clips."""
    task = progress.add_task("Tokenizers: text", total=2)
    text = TextTokenizer.train(training_texts(corpus.train()), VOCAB_SIZE, IMAGE.max_grid)
    progress.update(task, completed=1, description="Tokenizers: audio codec")
    waveforms = [word.audio.waveform for word in corpus.words_train]
    rate = corpus.words_train[0].audio.sample_rate
    codec = SpectralCodec.fit(waveforms, SpectralConfig.at(rate), seed)
    progress.update(task, completed=2, description="Tokenizers")
    tokenizers = Tokenizers(text, ImageTokenizer(IMAGE), codec)
    tokenizers.save(folder)
    return tokenizers


def index_corpus(folder: Path, tokenizers: Path, progress: Progress) -> None:
    """Measure the shards in ``folder/train`` and ``folder/heldout``, so that training reads no document beforehand."""
    for part in ("train", "heldout"):
        shards = shards_in(folder / part)
        task = progress.add_task(f"Data: measuring {part} shards", total=len(shards))
        index_folder(
            folder / part,
            tokenizers,
            workers_for(shard.stat().st_size for shard in shards),
            partial(progress.advance, task),
        )


def training_texts(documents: Iterable[Document]) -> list[str]:
    """All texts of documents, as often as they occur: frequent words become one piece."""
    return [s.text for document in documents for s in document.segments if isinstance(s, Text)]
