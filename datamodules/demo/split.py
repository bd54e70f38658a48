"""Things for training, and things that training never sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

Part = Literal["train", "heldout"]
Item = TypeVar("Item")


@dataclass(frozen=True)
class Split(Generic[Item]):
    """The two parts of a collection of pictures, clips, charts or passages."""

    train: tuple[Item, ...]
    heldout: tuple[Item, ...]

    def of(self, part: Part) -> tuple[Item, ...]:
        """The items of one part."""
        return self.train if part == "train" else self.heldout
