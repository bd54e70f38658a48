"""Write your own documents as shards with the Python API, and read them back.

    python examples/own_data.py my_data/shards/train

Time: a second. Result: ``my_data/shards/train/shard-000000.tar`` with its index, and the documents on the
terminal. For a JSONL file there is a command instead: ``omni shards import jsonl``. docs/data.md has the rest.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from omni.datamodules.shards.reader import ShardReader
from omni.datamodules.shards.show import document_lines
from omni.datamodules.shards.writer import write_shards
from omni.sequence import Audio, Document, Image, Text

RATE = 8_000


def documents() -> Iterator[Document]:
    """One document of each kind. Real ones would come from ``omni.media.read_image`` and ``read_audio``."""
    red = np.zeros((48, 64, 3), dtype=np.uint8)
    red[..., 0] = 255
    tone = 0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)

    # Running text belongs to nobody, and all of it is learned.
    yield Document((Text("A document can be nothing but text."),), key="plain", source="notes")

    # Of a conversation, learn the assistant's turns only. `label`: what a judge should find in the answer.
    yield Document(
        (
            Image(red, role="user", loss=False),
            Text("which colour?", role="user", loss=False),
            Text("red", role="assistant"),
        ),
        key="colour",
        source="colours",
        label="red",
    )

    # Any segment can be learned, in any order: this one teaches the model to make a sound.
    yield Document(
        (
            Text("play concert pitch", role="user", loss=False),
            Audio(tone.astype(np.float32), RATE, role="assistant"),
        ),
        key="tone",
        source="tones",
    )


folder = Path(sys.argv[1] if len(sys.argv) > 1 else "my_data/shards/train")
print(f"{folder}: documents by source: {write_shards(documents(), folder)}\n")
reader = ShardReader(folder)
for number in range(len(reader)):
    print("\n".join(document_lines(reader[number])), end="\n\n")
