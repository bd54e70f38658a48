"""Principal components: the few directions in which real examples differ most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float


@dataclass(frozen=True, eq=False)
class PrincipalComponents:
    """A mean and orthonormal directions, the one of largest variance first."""

    mean: Float[np.ndarray, " values"]
    directions: Float[np.ndarray, "components values"]

    @classmethod
    def fit(cls, examples: Float[np.ndarray, "items values"], count: int) -> PrincipalComponents:
        """The first ``count`` components of the examples, or as many as these have values."""
        mean = examples.mean(axis=0)
        centred = (examples - mean).astype(np.float64)
        _, directions = np.linalg.eigh(centred.T @ centred)  # in columns, by rising variance
        return cls(mean, directions[:, ::-1][:, :count].T.astype(examples.dtype))

    def inside(self, items: Float[np.ndarray, "items values"]) -> Float[np.ndarray, "items components"]:
        """Coordinates along the components."""
        return (items - self.mean) @ self.directions.T

    def outside(self, items: Float[np.ndarray, "items values"]) -> Float[np.ndarray, "items values"]:
        """What the components leave out."""
        return items - self.mean - self.inside(items) @ self.directions
