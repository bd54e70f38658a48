"""Whether generated pictures differ as real ones do, and whether they are more than copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.spatial.distance import cdist, pdist

from omni.evaluation.components import PrincipalComponents
from omni.evaluation.thumbnails import SIDE, thumbnails
from omni.sequence import Image

COPY_DISTANCE = 0.05
"""Root mean square difference per pixel (0 to 1) under which a picture counts as a copy of another.

Between scikit-learn's held-out digits and their nearest training digit it is 0.14 on average, 0.07 at least.
"""

_COMPONENTS = 10  # of 64 pixels: three quarters of the variance of real digits


@dataclass(frozen=True)
class Diversity:
    """Mean distance of two pictures of a class, divided by that of two real ones: 1 is as diverse as real."""

    by_class: Mapping[str, float]

    @property
    def mean(self) -> float:
        """Over the classes."""
        return float(np.mean(list(self.by_class.values())))

    @property
    def worst(self) -> float:
        """The least diverse class."""
        return min(self.by_class.values())


@dataclass(frozen=True)
class Nearness:
    """Distances to the nearest training picture, as root mean square difference per pixel (0 to 1)."""

    median: float
    copies: float
    """Share of the pictures that are nearer than ``COPY_DISTANCE``."""


class PictureYardstick:
    """Real pictures that generated ones are measured against."""

    def __init__(
        self, pictures: Sequence[Image], words: Sequence[str], heldout: Sequence[Image] = ()
    ) -> None:
        """Take the training split's real pictures and what each shows, and real ones that are held out."""
        if len(pictures) != len(words):
            raise ValueError(f"{len(pictures)} pictures but {len(words)} words")
        if rare := sorted(word for word in set(words) if list(words).count(word) < 2):
            raise ValueError(f"only one real picture of {rare}: no distance between two of them")
        self._small = thumbnails(pictures)
        self._components = PrincipalComponents.fit(self._small, _COMPONENTS)
        self._real = {word: self._spread(self._small[np.array(words) == word]) for word in set(words)}
        self.heldout = len(heldout)
        self.real_nearness = self.nearness(heldout) if heldout else None
        """How near real pictures that are held out come to training pictures."""

    @property
    def words(self) -> frozenset[str]:
        """What the real pictures show."""
        return frozenset(self._real)

    def diversity(self, pictures: Sequence[Image], words: Sequence[str], classes: Sequence[str]) -> Diversity:
        """How much pictures of the same word differ, for each of ``classes``; 0 where there are fewer than 2.

        Distances are taken in the principal components of real pictures, and what noise adds to them is
        taken off again: noise is alike in all directions, while real pictures differ less in the others.
        """
        unknown = sorted(set(classes) - set(self._real))
        if unknown:
            raise ValueError(f"no real pictures of {unknown} to compare with, only of {sorted(self._real)}")
        small = thumbnails(pictures)
        shown = np.array(words, dtype=str)
        return Diversity({word: self._relative(small[shown == word], word) for word in classes})

    def nearness(self, pictures: Sequence[Image]) -> Nearness:
        """How near the pictures come to their nearest training picture."""
        if not pictures:
            raise ValueError("nearness of 0 pictures")
        distances = cdist(thumbnails(pictures), self._small).min(axis=1) / SIDE  # of SIDE * SIDE pixels
        return Nearness(float(np.median(distances)), float((distances < COPY_DISTANCE).mean()))

    def _relative(self, small: Float[np.ndarray, "items values"], word: str) -> float:
        if len(small) < 2:
            return 0.0
        spread, real = self._spread(small), self._real[word]
        if spread.inside == 0:
            return 0.0
        # inside = strokes + noise, outside = strokes * real_ratio + noise * noise_ratio
        real_ratio, noise_ratio = real.outside / real.inside, (SIDE * SIDE - _COMPONENTS) / _COMPONENTS
        noise = (spread.outside - real_ratio * spread.inside) / (noise_ratio - real_ratio)
        strokes = 1 - np.clip(noise / spread.inside, 0, 1)
        return spread.distance * float(np.sqrt(strokes)) / real.distance

    def _spread(self, small: Float[np.ndarray, "items values"]) -> _Spread:
        distances = pdist(self._components.inside(small))
        return _Spread(
            distance=float(distances.mean()),
            inside=float(np.square(distances).mean()),
            outside=float(pdist(self._components.outside(small), "sqeuclidean").mean()),
        )


@dataclass(frozen=True)
class _Spread:
    """Means over the pairs of one class."""

    distance: float
    """Distance inside the principal components."""
    inside: float
    """Its square."""
    outside: float
    """Squared distance in all other directions."""
