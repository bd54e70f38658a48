"""The documents of the demo's training corpus in outline: what ``benchmarks.omni_step`` makes its batch of.

Command:  python -m benchmarks.omni_step_documents runs/demo/shards/train
Time:     a second
Result:   writes omni_step_documents.txt beside this file anew: 400 documents, drawn evenly from all

A line is a document, a word a span (``omni.spans``): its modality's first letter, its positions with markers, and a
``+`` where it is learned. ``t12 i20 t2 t3+`` is a prompt of twelve tokens with a picture, two tokens that open the
answer, and an answer of three.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omni.datamodules.shards.reader import ShardReader
from omni.layout import SequenceBuilder
from omni.modality import AUDIO, IMAGE, MODALITIES, TEXT
from omni.nn.config import Vocabulary
from omni.sequence import Sequence

FILE = Path(__file__).with_suffix(".txt")
COUNT, SEED = 400, 36
"""Of the seeds below 400, the one whose first 2,048 and 4,096 positions are most like the corpus."""
MARKERS = {IMAGE.id: (3, 1), AUDIO.id: (1, 1)}
"""Text positions before and behind the patches or frames."""
Span = tuple[int, int, bool]
"""Modality id, positions, whether it is learned."""


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="shards of a demo, measured")
    reader = ShardReader(parser.parse_args().folder)
    drawn = np.random.default_rng(SEED).choice(len(reader), COUNT, replace=False)
    found = (reader.find(int(number)) for number in drawn)
    lines = [" ".join(map(_word, index.spans(row).tolist())) for index, row in found]
    FILE.write_text("\n".join(lines) + "\n")
    print(f"wrote {FILE}")


def _word(span: int) -> str:
    return f"{MODALITIES[span & 3].name[0]}{span >> 3}{'+' if span >> 2 & 1 else ''}"


def read_outlines() -> list[list[Span]]:
    """The spans of each document."""
    ids = {modality.name[0]: modality.id for modality in MODALITIES}
    return [
        [(ids[word[0]], int(word[1:].rstrip("+")), word.endswith("+")) for word in line.split()]
        for line in FILE.read_text().splitlines()
    ]


def made_sequence(
    outline: list[Span], vocabulary: Vocabulary, key: str, random: np.random.Generator
) -> Sequence:
    """A document of this outline with random content."""
    builder = SequenceBuilder()
    for modality, length, learned in outline:
        before, behind = MARKERS.get(modality, (length, 0))
        tokens = iter(random.integers(vocabulary.text, size=before + behind).tolist())
        for _ in range(before):
            builder.text(next(tokens), learned)
        own = length - before - behind
        if modality == IMAGE.id:
            rows = next(side for side in _sides(own) if own % side == 0)
            for index, patch_P in enumerate(random.normal(size=(own, vocabulary.patch_values))):
                builder.patch(patch_P, index, rows, own // rows, learned)
        elif modality == AUDIO.id:
            for codes_K in random.integers(vocabulary.codebook_size, size=(own, vocabulary.codebooks)):
                builder.frame(codes_K, learned)
        for _ in range(behind):
            builder.text(next(tokens), learned and modality != IMAGE.id)
    return builder.build(key, vocabulary.patch_values, vocabulary.codebooks)


def _sides(patches: int) -> Iterator[int]:
    """Candidates for the rows of a grid, the squarest first."""
    return iter(range(int(patches**0.5), 0, -1))


def as_text(outline: list[Span]) -> list[Span]:
    """The same positions, learned where they were, as text alone."""
    return [(TEXT.id, length, learned) for _, length, learned in outline]


def all_learned(outline: list[Span]) -> list[Span]:
    """The same positions, all of them learned."""
    return [(modality, length, True) for modality, length, _ in outline]


if __name__ == "__main__":
    main()
