"""What each document costs a model, in every modality."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int

from omni.layout import Layout
from omni.losses import compute_losses, targets_of
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


@dataclass(frozen=True, eq=False)
class TextLikelihood:
    """What a model says of the text targets of one sequence."""

    nats: Float[np.ndarray, " L"]
    """What each token costs."""
    greedy: Bool[np.ndarray, " L"]
    """Whether no other token is likelier."""


class DocumentScorer:
    """Runs documents through a model, many at a time; what comes out for one depends on no other.

    The loss is that of validation: clean inputs, and flow noise that is a function of the document's key.
    """

    def __init__(
        self, model: OmniTransformer, layout: Layout, collate: Collate, positions: int = POSITIONS
    ) -> None:
        self.model, self.layout, self.collate, self.positions = model, layout, collate, positions

    @torch.no_grad()
    def losses(self, documents: Seq[Document]) -> list[DocumentLoss]:
        """One per document, in order.

        Raises:
            ValueError: a document can't be encoded; the message names it.
        """
        found = []
        for own, batch in self._scored(map(self.layout.encode, documents)):
            loss = compute_losses(self.model, own, batch)
            found.append(DocumentLoss(loss.sums_M.double().cpu().numpy(), loss.counts_M.cpu().numpy()))
        return found

    @torch.no_grad()
    def text(self, sequences: Iterable[Sequence]) -> list[TextLikelihood]:
        """One per sequence, in order."""
        found = []
        for own, batch in self._scored(iter(sequences)):
            targets = targets_of(batch, self.model.audio_head.end)
            logits = self.model.text_head(own.x_BSD[targets.text_BS])
            nats = F.cross_entropy(logits, targets.text_ids, reduction="none")
            greedy = logits.argmax(-1) == targets.text_ids
            found.append(TextLikelihood(nats.double().cpu().numpy(), greedy.cpu().numpy()))
        return found

    def _scored(self, sequences: Iterator[Sequence]) -> Iterator[tuple[Hidden, OmniBatch]]:
        """The hidden states of each sequence, and a batch of it alone."""
        device = next(self.model.parameters()).device
        for pack in self._packs(sequences):
            x_BSD = self.model(self.collate([pack]).to(device)).x_BSD
            start = 0
            for sequence in pack:
                end = start + len(sequence)
                yield Hidden(x_BSD[:, start:end], ()), self.collate([[sequence]]).to(device)
                start = end

    def _packs(self, sequences: Iterator[Sequence]) -> Iterator[list[Sequence]]:
        pack: list[Sequence] = []
        for sequence in sequences:
            if pack and sum(map(len, pack)) + len(sequence) > self.positions:
                yield pack
                pack = []
            pack.append(sequence)
        if pack:
            yield pack
