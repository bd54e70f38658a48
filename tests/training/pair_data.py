"""Pairs of tiny documents, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence as Seq
from pathlib import Path

import numpy as np

from omni.datamodules.post_training import AnsweredShards
from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.stream.batches import Share
from omni.datamodules.stream.pairs import CollatedPairs, PairSequence
from omni.layout import Layout
from omni.modality import MODALITIES
from omni.preference import PairBatch
from omni.sequence import Document, Sequence
from tests.tiny import tiny_documents, tiny_tokenizers
from tests.tiny_run import write_corpus, write_measured


def write_pairs(folder: Path) -> Path:
    """Tokenizers, tiny shards in ``train``, and pairs made of them in ``pairs``, below ``folder``."""
    write_corpus(folder)
    documents = list(AnsweredShards(ShardReader(folder / "train")).preferences(seed=0))
    write_measured(documents, folder / "pairs", folder / "tokenizers")
    return folder


def tiny_pairs(count: int, folder: Path) -> list[PairSequence]:
    """Pairs of every modality; ``folder`` is for the shards that they are made of."""
    write_measured(tiny_documents(60), folder / "tiny", _tokenizers(folder))
    documents = list(AnsweredShards(ShardReader(folder / "tiny")).preferences(seed=0))
    layout = Layout(tiny_tokenizers())
    halves = [layout.encode(document) for document in documents]
    pairs = [PairSequence.join(*two) for two in zip(halves[::2], halves[1::2], strict=True)]
    return [pairs[i] for i in np.random.default_rng(0).permutation(len(pairs))[:count]]


def _tokenizers(folder: Path) -> Path:
    tiny_tokenizers().save(folder / "tokenizers")
    return folder / "tokenizers"


def batch_of(rows: Seq[Seq[Sequence]], of_step: Seq[Sequence], length: int = 512) -> PairBatch:
    """Rows of pairs, as a part of a step that consists of ``of_step``."""
    answers = [unit.answer for unit in of_step if isinstance(unit, PairSequence)]
    targets = tuple(answers.count(modality.id) for modality in MODALITIES)
    share = Share((), tuple(range(len(rows))), targets, sum(map(len, of_step)))
    return CollatedPairs(length)([list(row) for row in rows], share)


def pair_documents() -> list[Document]:
    """Those of ``tiny_documents`` that can be asked."""
    return [document for document in tiny_documents(60) if document.label is not None]
