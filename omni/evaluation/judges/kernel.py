"""A support-vector machine that is kept as plain arrays: its training features, and refit on loading."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from omni.evaluation.judges.verdict import Verdict

if TYPE_CHECKING:
    from sklearn.svm import SVC


class KernelClassifier:
    """Tells words apart by feature vectors, with a radial kernel. Fitting is deterministic."""

    def __init__(
        self,
        features: Float[np.ndarray, "items values"],
        words: Sequence[str],
        penalty: float = 10.0,
        gamma: float | None = None,
    ) -> None:
        """Fit to one feature vector per word; without ``gamma`` it is 1 / (values * variance)."""
        if len(features) != len(words):
            raise ValueError(f"{len(features)} feature vectors but {len(words)} words")
        if len(set(words)) < 3:
            raise ValueError(
                f"a judge needs at least 3 different words to tell apart, got {sorted(set(words))}"
            )
        from sklearn.svm import SVC

        self._features = features.astype(np.float32)
        self._labels = np.array(words)
        self._penalty, self._gamma = penalty, gamma
        self._svm: SVC = SVC(C=penalty, gamma="scale" if gamma is None else gamma)
        self._svm.fit(self._features, self._labels)

    @property
    def words(self) -> tuple[str, ...]:
        """The words that can be told apart, sorted."""
        return tuple(str(word) for word in self._svm.classes_)

    def judge(self, features: Float[np.ndarray, "items values"]) -> list[Verdict]:
        """The likeliest word for each feature vector."""
        if len(features) == 0:
            return []
        scores = self._svm.decision_function(features.astype(np.float32))
        order = scores.argsort(axis=1)
        rows = np.arange(len(scores))
        leads = scores[rows, order[:, -1]] - scores[rows, order[:, -2]]
        return [
            Verdict(self.words[best], float(lead)) for best, lead in zip(order[:, -1], leads, strict=True)
        ]

    def arrays(self) -> dict[str, np.ndarray]:
        """All that ``from_arrays`` needs; nothing in it needs pickle."""
        return {
            "features": self._features,
            "labels": self._labels,
            "settings": np.array([self._penalty, np.nan if self._gamma is None else self._gamma]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> KernelClassifier:
        """The classifier that ``arrays()`` described: refit, with the same verdicts."""
        penalty, gamma = (float(value) for value in arrays["settings"])
        words = [str(label) for label in arrays["labels"]]
        return cls(arrays["features"], words, penalty, None if np.isnan(gamma) else gamma)
