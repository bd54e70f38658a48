"""What a document costs: alone or packed, and as the losses of training count it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from omni.datamodules.collate import collate
from omni.evaluation.losses import loss_tallies
from omni.evaluation.scorer import DocumentScorer
from omni.inference.score import text_nats
from omni.layout import Layout
from omni.losses import compute_losses
from omni.sequence import Document, Text
from tests.tiny import tiny_documents, tiny_tokenizers
from tests.tiny_model import sequences_of, tiny_model

DOCUMENTS = tiny_documents(24)


@pytest.fixture(scope="module")
def scorer() -> DocumentScorer:
    return DocumentScorer(tiny_model().eval(), Layout(tiny_tokenizers()), collate, positions=200)


def test_the_sums_are_those_of_a_batch(scorer: DocumentScorer) -> None:
    losses = scorer.losses(DOCUMENTS)
    assert len(losses) == len(DOCUMENTS)
    batch = collate([sequences_of(DOCUMENTS)])
    with torch.no_grad():
        together = compute_losses(scorer.model, scorer.model(batch), batch)
    counts_M = np.sum([loss.counts_M for loss in losses], axis=0)
    sums_M = np.sum([loss.sums_M for loss in losses], axis=0)
    assert counts_M.tolist() == together.counts_M.tolist()
    np.testing.assert_allclose(sums_M, together.sums_M.numpy(), rtol=1e-5)


def test_other_documents_do_not_matter(scorer: DocumentScorer) -> None:
    packed = scorer.losses(DOCUMENTS[:8])
    for document, loss in zip(DOCUMENTS[:8], packed, strict=True):
        (alone,) = scorer.losses([document])
        np.testing.assert_allclose(alone.sums_M, loss.sums_M, rtol=1e-5)


def test_text_costs_what_scoring_says(scorer: DocumentScorer) -> None:
    document = Document((Text("one plus two is a sum"),))
    _, nats = text_nats(scorer.model, collate(sequences_of_rows(document)))
    assert scorer.losses([document])[0].sums_M[0] == pytest.approx(nats.sum(), rel=1e-5)


def sequences_of_rows(document: Document) -> list:
    return [sequences_of([document])]


def test_figures_are_named_after_source_and_modality(scorer: DocumentScorer) -> None:
    tallies = {tally.name: tally for tally in loss_tallies(scorer, dict(enumerate(DOCUMENTS, start=5)))}
    assert {"prose_text_loss", "image_to_text_text_loss", "audio_to_image_image_loss"} <= set(tallies)
    assert "prose_image_loss" not in tallies
    drawn = tallies["text_to_image_image_loss"]
    assert drawn.numbers.tolist() == [5 + i for i, d in enumerate(DOCUMENTS) if d.source == "text_to_image"]
    losses = [scorer.losses([DOCUMENTS[number - 5]])[0] for number in drawn.numbers]
    mean = sum(loss.sums_M[1] for loss in losses) / sum(int(loss.counts_M[1]) for loss in losses)
    assert drawn.value == pytest.approx(mean, rel=1e-5)
