"""Demonstrations and preferences made of labelled documents: no people, but answers of which right and wrong are known.

A document with a label (``omni.sequence.Document``) that ends in an assistant's answer to a user is used. A wrong
answer is the answer of another document of the same source with another label: a real picture, clip or text, to
another question.

* A demonstration is the document itself; a share of them is given a wrong answer, which weakens a model that is
  tuned on them.
* A preference is the document (chosen) and the same question with a wrong answer (rejected).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from omni.datamodules.shards.format import json_of, media_in
from omni.datamodules.shards.outline import outline_from
from omni.datamodules.shards.reader import ShardReader
from omni.preference import CHOSEN, REJECTED
from omni.sequence import Document, Segment, turn_of

Asked = tuple[Segment, ...]


@dataclass(frozen=True)
class Labelled:
    """Where a usable document lies."""

    number: int
    source: str
    label: str


class AnsweredShards:
    """The labelled answers of a folder of shards, by source."""

    def __init__(self, reader: ShardReader, per_source: int | None = None) -> None:
        """
        Args:
            reader: the folder; all of its documents are looked at once.
            per_source: documents of a source that are used, the first ones; all by default.

        Raises:
            ValueError: no document has a label, a question and an answer, in a source with two labels or more.
        """
        self.reader = reader
        self.left_out = 0
        """Documents without a label, a user's question or an assistant's answer, or whose source has one label."""
        found: dict[str, list[Labelled]] = defaultdict(list)
        for number in range(len(reader)):
            document = _outline(reader, number)
            if document.label is None or not all(split(document)):
                self.left_out += 1
            elif per_source is None or len(found[document.source]) < per_source:
                found[document.source].append(Labelled(number, document.source, document.label))
        lone = {source for source, items in found.items() if len({item.label for item in items}) < 2}
        self.left_out += sum(len(found[source]) for source in lone)
        self.by_source = {source: items for source, items in found.items() if source not in lone}
        if not self.by_source:
            raise ValueError(
                f"{reader.folder}: no documents with a label, a user's question and an assistant's answer, in a source "
                f"with two labels or more; {self.left_out} others"
            )

    def __len__(self) -> int:
        return sum(map(len, self.by_source.values()))

    def demonstrations(self, wrong: float, seed: int) -> Iterator[Document]:
        """Every document; ``wrong`` is the share that gets a wrong answer, drawn by ``seed`` for each."""
        for item, random in self._items(seed, 0):
            document = self.reader[item.number]
            if random.random() < wrong:
                document = self._with_wrong_answer(document, item, random)
            yield replace(document, segments=(*split(document)[0], *split(document)[1]))

    def preferences(self, seed: int) -> Iterator[Document]:
        """Both documents of each pair, the chosen one first."""
        for item, random in self._items(seed, 1):
            document = self.reader[item.number]
            rejected = self._with_wrong_answer(document, item, random)
            for half, ending in ((document, CHOSEN), (rejected, REJECTED)):
                asked, answer = split(half)
                yield replace(half, segments=(*asked, *answer), key=f"{document.key}{ending}")

    def _items(self, seed: int, use: int) -> Iterator[tuple[Labelled, np.random.Generator]]:
        for items in self.by_source.values():
            for item in items:
                yield item, np.random.default_rng([seed, use, item.number])

    def _with_wrong_answer(self, document: Document, item: Labelled, random: np.random.Generator) -> Document:
        others = [other for other in self.by_source[item.source] if other.label != item.label]
        other = self.reader[others[int(random.integers(len(others)))].number]
        return replace(document, segments=(*split(document)[0], *split(other)[1]))


def _outline(reader: ShardReader, number: int) -> Document:
    """Document ``number`` without its pixels and samples."""
    shard, key = reader.place(number)
    members = reader.members(number)
    where = f"{shard}[{key}]"
    head = json_of(key, members, where)
    return outline_from(head, f"{where}.", media_in(members), key=key, shard=shard)


def split(document: Document) -> tuple[Asked, Asked]:
    """What comes before the last turn of the assistant, not learned, and that turn, learned; either may be empty."""
    segments = document.segments
    start = len(segments)
    while start and segments[start - 1].role == "assistant":
        start -= 1
    return (
        tuple(replace(segment, loss=False) for segment in segments[:start]),
        turn_of(segments[start:], "assistant", loss=True),
    )
