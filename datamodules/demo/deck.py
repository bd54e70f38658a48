"""Drawing evenly: shuffled decks that are shuffled anew when they are used up."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, TypeVar

import numpy as np

Item = TypeVar("Item")


def named_rng(seed: int, *names: str) -> np.random.Generator:
    """Randomness of its own for each name, so that a change of one part leaves the others as they were."""
    return np.random.default_rng([seed, *(zlib.crc32(name.encode()) for name in names)])


class Deck(Generic[Item]):
    """Gives every item once, in random order, before any comes again."""

    def __init__(self, items: Iterable[Item], rng: np.random.Generator) -> None:
        self._items = tuple(items)
        if not self._items:
            raise ValueError("a deck needs at least one item, got none")
        self._deal = self._shuffled(rng)

    def _shuffled(self, rng: np.random.Generator) -> Iterator[Item]:
        while True:
            for i in rng.permutation(len(self._items)):
                yield self._items[i]

    def draw(self) -> Item:
        """The next item."""
        return next(self._deal)


class GroupedDeck(Generic[Item]):
    """A deck that can also be asked for an item of one group, such as a picture of a seven."""

    def __init__(self, items: Iterable[Item], group: Callable[[Item], str], rng: np.random.Generator) -> None:
        groups: dict[str, list[Item]] = {}
        for item in items:
            groups.setdefault(group(item), []).append(item)
        self._all = Deck((item for members in groups.values() for item in members), rng)
        self._of = {name: Deck(members, rng) for name, members in groups.items()}
        self._groups = Deck(sorted(groups), rng)

    def draw(self) -> Item:
        """The next item of all: none comes again before all have come."""
        return self._all.draw()

    def draw_balanced(self) -> Item:
        """The next item of the next group: no group comes again before all have come."""
        return self._of[self._groups.draw()].draw()

    def draw_of(self, group: str) -> Item:
        """The next item of ``group``."""
        return self._of[group].draw()
