"""What each document costs a model, in every modality."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int

from omni.layout import Layout
from omni.losses import compute_losses
from omni.model import Hidden, OmniTransformer
from omni.sequence import Document, OmniBatch, Sequence

Collate = Callable[[list[list[Sequence]]], OmniBatch]
"""The sequences of each row in, a batch out."""
POSITIONS = 8192
"""Positions of a batch at most, unless one document has more."""


@dataclass(frozen=True, eq=False)
class DocumentLoss:
    """Sums over the targets of one document."""

    sums_M: Float[np.ndarray, " M"]
    """Nats of text, squared velocity errors of patches (mean over their values and draws), nats of frames."""
    counts_M: Int[np.ndarray, " M"]
    """Text tokens, patches and frames."""


class DocumentScorer:
    """Runs documents through a model, many at a time; what comes out for one depends on no other.

    The loss is that of validation: clean inputs, and flow noise that is a function of the document's key.
    """

    def __init__(
        self, model: OmniTransformer, layout: Layout, collate: Collate, positions: int = POSITIONS
    ) -> None:
        self.model, self.layout, self.collate, self.positions = model, layout, collate, positions

    def losses(self, documents: Seq[Document]) -> list[DocumentLoss]:
        """One per document, in order.

        Raises:
            ValueError: a document can't be encoded; the message names it.
        """
        sequences = map(self.layout.encode, documents)
        return [loss for pack in self._packs(sequences) for loss in self._of_pack(pack)]

    def _packs(self, sequences: Iterator[Sequence]) -> Iterator[list[Sequence]]:
        pack: list[Sequence] = []
        for sequence in sequences:
            if pack and sum(map(len, pack)) + len(sequence) > self.positions:
                yield pack
                pack = []
            pack.append(sequence)
        if pack:
            yield pack

    @torch.no_grad()
    def _of_pack(self, pack: list[Sequence]) -> Iterator[DocumentLoss]:
        device = next(self.model.parameters()).device
        x_BSD = self.model(self.collate([pack]).to(device)).x_BSD
        start = 0
        for sequence in pack:
            own = Hidden(x_BSD[:, start : start + len(sequence)], ())
            found = compute_losses(self.model, own, self.collate([[sequence]]).to(device))
            yield DocumentLoss(found.sums_M.double().cpu().numpy(), found.counts_M.cpu().numpy())
            start += len(sequence)
