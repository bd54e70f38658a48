"""The lower and the upper third of things by a measure, among things alike: what lies between is left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import numpy as np

Item = TypeVar("Item")
Measure = Callable[[Item], float | None]


class Thirds(Generic[Item]):
    """Borders by group, from reference items. A group alone says nothing about which third an item is in."""

    def __init__(
        self, reference: Sequence[Item], group: Callable[[Item], str], measure: Measure[Item]
    ) -> None:
        """
        Args:
            reference: items that the borders are taken from.
            group: which items are alike, such as clips of the same word.
            measure: of an item; none where it has none, such as the pitch of a whisper.
        """
        self._group, self._measure = group, measure
        values: dict[str, list[float]] = {}
        for item in reference:
            if (value := measure(item)) is not None:
                values.setdefault(group(item), []).append(value)
        self._borders = {name: np.quantile(found, [1 / 3, 2 / 3]) for name, found in values.items()}

    def split(self, items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
        """The items of the lower third, and those of the upper."""
        low: list[Item] = []
        high: list[Item] = []
        for item in items:
            value, borders = self._measure(item), self._borders.get(self._group(item))
            if value is None or borders is None or borders[0] == borders[1]:
                continue
            if value <= borders[0]:
                low.append(item)
            elif value >= borders[1]:
                high.append(item)
        return low, high
