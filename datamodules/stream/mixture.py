"""Documents of several sources in one order whose shares, counted in positions, are exact at any point.

The next document always comes from the source that has had the least for its weight: the smallest
``spent / share``, the first of equal ones. That is start-time fair queueing (Goyal, Vin & Cheng 1996, after the
weighted fair queueing of Demers, Keshav & Shenker 1989) with sources for flows and positions for bits. At any
point no source is ahead of its share by more than its longest document, nor behind by more than its share of the
sum of all sources' longest documents. Since a document's tag depends on its own source only, a stretch of the
order is a merge of sorted tags, done by numpy.
"""

from __future__ import annotations

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from omni.datamodules.stream.source import Chunk, Source


class Counters(NamedTuple):
    """Where a source is. All of it is in the state of a run."""

    epoch: int = 0
    chunk: int = 0
    """Of this epoch."""
    taken: int = 0
    """Pieces of this chunk that were taken."""
    documents: int = 0
    """Documents taken in all; a document that is split counts with its beginning."""
    positions: int = 0
    """Positions taken in all."""
    spent: int = 0
    """Positions taken since the weights last changed."""
    lost: int = 0
    """Positions of readable documents that were cut off or dropped, in the chunks that were finished."""


@dataclass(frozen=True, eq=False)
class Taken:
    """A stretch of the mixed order."""

    pieces: Int[np.ndarray, "pieces 4"]
    """Source, document, start and stop."""
    after: tuple[Counters, ...]
    """By source, behind this stretch."""


class Mixture:
    """Merges the sources; a pure function of their counters."""

    def __init__(self, sources: Seq[Source], once: bool) -> None:
        """``once``: end each source after its first epoch."""
        self.sources, self.once = sources, once

    def take(
        self,
        counters: Seq[Counters],
        share: Float[np.ndarray, " sources"],
        pieces: int,
    ) -> Taken:
        """The next pieces of the order.

        Args:
            counters: of each source.
            share: of each source; sources of share 0 give nothing.
            pieces: take so many, or all that are left.
        """
        queues = [_Queue(*part, self.once) for part in zip(self.sources, counters, share, strict=True)]
        while True:
            horizon = min(queue.horizon for queue in queues)
            known = [queue.tags[: np.searchsorted(queue.tags, horizon)] for queue in queues]
            if sum(map(len, known)) >= pieces or horizon == np.inf:
                break
            for queue in queues:
                if queue.horizon == horizon:
                    queue.read()
        # stable: of equal tags the first source's comes first
        order = np.argsort(np.concatenate(known), kind="stable")[:pieces]
        places = [(number, len(tags)) for number, tags in enumerate(known)]
        source = np.concatenate([np.full(count, number) for number, count in places])[order]
        found = np.concatenate(
            [queue.pieces[:count] for queue, (_, count) in zip(queues, places, strict=True)]
        )[order]
        counts = np.bincount(source, minlength=len(queues)).tolist()
        after = tuple(queue.after(count) for queue, count in zip(queues, counts, strict=True))
        return Taken(np.concatenate([source[:, None], found], axis=1), after)


class _Queue:
    """The next pieces of one source with their tags, read chunk by chunk."""

    def __init__(self, source: Source, counters: Counters, share: float, once: bool) -> None:
        self.source, self.counters, self.share, self.once = source, counters, float(share), once
        self.parts: list[tuple[int, int, Chunk]] = []  # epoch, number, chunk
        self.pieces: Int[np.ndarray, "pieces 3"] = np.zeros((0, 3), dtype=np.int64)
        self.next = (counters.epoch, counters.chunk)
        if share > 0:
            self._tag()
        else:
            self.tags: Float[np.ndarray, " pieces"] = np.zeros(0)
            self.horizon: float = np.inf

    def read(self) -> None:
        """One chunk more that is not empty; the horizon is infinite when there is none."""
        for _ in range(2 * self.source.chunks + 1):
            epoch, number = self.next
            if self.once and epoch > 0:
                self.horizon = np.inf
                return
            chunk = self.source.chunk(epoch, number)
            self.parts.append((epoch, number, chunk))
            self.next = (epoch, number + 1) if number + 1 < self.source.chunks else (epoch + 1, 0)
            skip = self.counters.taken if len(self.parts) == 1 else 0
            if len(chunk.pieces) > skip:
                self.pieces = np.concatenate([self.pieces, chunk.pieces[skip:]])
                self._tag()
                return
        raise ValueError(
            f"{self.source.name}: none of its documents can be used: all readable ones are longer than "
            f"{self.source.capacity} positions (data.plan.row_length) and can't be cut"
        )

    def _tag(self) -> None:
        """A piece's tag is what its source has had before it, for its share; the horizon is the next tag."""
        ends = np.cumsum(np.concatenate([[self.counters.spent], self.pieces[:, 2] - self.pieces[:, 1]]))
        tags = ends / self.share
        self.tags, self.horizon = tags[:-1], float(tags[-1])

    def after(self, count: int) -> Counters:
        """The counters when ``count`` pieces were taken."""
        if not count:
            return self.counters
        pieces = self.pieces[:count]
        positions = int((pieces[:, 2] - pieces[:, 1]).sum())
        taken, lost, part = count + self.counters.taken, 0, 0
        while taken > len(self.parts[part][2].pieces):
            taken -= len(self.parts[part][2].pieces)
            lost += self.parts[part][2].lost
            part += 1
        before = self.counters
        return Counters(
            epoch=self.parts[part][0],
            chunk=self.parts[part][1],
            taken=taken,
            documents=before.documents + int(np.count_nonzero(pieces[:, 1] == 0)),
            positions=before.positions + positions,
            spent=before.spent + positions,
            lost=before.lost + lost,
        )
