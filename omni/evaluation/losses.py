"""Held-out loss by source and modality: a figure for every document, whatever it holds."""

from __future__ import annotations

from collections.abc import Mapping

from omni.evaluation.metrics.tally import Tally
from omni.evaluation.scorer import DocumentScorer
from omni.modality import MODALITIES
from omni.sequence import Document


def loss_tallies(scorer: DocumentScorer, documents: Mapping[int, Document]) -> list[Tally]:
    """``SOURCE_text_loss`` (nats a token), ``SOURCE_image_loss`` (squared velocity error), ``SOURCE_audio_loss``
    (nats a frame, all codebooks): means per target over the documents, which stand by their numbers."""
    found: dict[str, dict[int, tuple[float, int]]] = {}
    losses = scorer.losses(list(documents.values()))
    for (number, document), loss in zip(documents.items(), losses, strict=True):
        for modality in MODALITIES:
            if count := int(loss.counts_M[modality.id]):
                mean = float(loss.sums_M[modality.id]) / count
                found.setdefault(f"{document.source}_{modality.name}_loss", {})[number] = (mean, count)
    return [Tally.of(name, "mean", scored) for name, scored in found.items()]
