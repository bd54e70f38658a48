"""Log-probabilities of answers: those of the losses, document by document."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from omni.datamodules.collate import collate
from omni.losses import compute_losses
from omni.modality import AUDIO, IMAGE, TEXT
from omni.nn.config import MoEConfig, TextHeadConfig
from omni.nn.noise import Noise
from omni.training.log_probs import document_log_probs
from tests.tiny import tiny_documents
from tests.tiny_model import gradients, sequences_of, tiny_model

DOCUMENTS = tiny_documents(16)


@pytest.mark.parametrize("chunk", [512, 7])
def test_of_packed_documents_are_the_losses_of_each_alone(chunk: int) -> None:
    """Pictures: half the squared velocity error summed over 16 values, where the loss is its mean."""
    model = tiny_model(dtype=torch.float64, text=TextHeadConfig(chunk=chunk))
    sequences = sequences_of(DOCUMENTS)
    batch = collate([sequences[:9], sequences[9:]])
    found = document_log_probs(model, model(batch), batch, Noise.of_documents(batch), picture_scale=3.0)
    number = {key: i for i, key in enumerate(batch.keys) if key}
    seen = torch.zeros(3)
    for sequence in sequences:
        alone = collate([[sequence]])
        sums_M = compute_losses(model, model(alone), alone).sums_M
        row = found[number[sequence.key]]
        assert row[TEXT.id].item() == pytest.approx(-sums_M[TEXT.id].item())
        assert row[AUDIO.id].item() == pytest.approx(-sums_M[AUDIO.id].item())
        assert row[IMAGE.id].item() == pytest.approx(-3.0 * 8 * sums_M[IMAGE.id].item())
        seen += (row != 0).float()
    assert (seen > 3).all(), "every modality was in some documents"


def test_padding_has_none() -> None:
    model = tiny_model()
    sequence = sequences_of(DOCUMENTS[:1])[0]
    batch = collate([[sequence]], row_length=len(sequence) + 5)
    found = document_log_probs(model, model(batch), batch, Noise.of_documents(batch))
    assert found.shape == (2, 3) and (found[1] == 0).all()


def test_gradients_are_those_of_the_losses() -> None:
    moe = MoEConfig(experts=4, top_k=2, expert_width=16, z_loss=0.0)
    model = tiny_model(dtype=torch.float64, moe=moe)
    batch = collate([sequences_of(DOCUMENTS)])
    noise = Noise.of_documents
    found = document_log_probs(model, model(batch), batch, noise(batch))
    config = model.config  # of a patch's 16 values the loss has the mean, the surrogate half of the sum
    weights = torch.tensor([config.text.loss_weight, config.image.loss_weight / 8, config.audio.loss_weight])
    (-(found.sum(0) * weights.double()).sum()).backward()
    mine = gradients(model)
    model.zero_grad()
    even = replace(batch, targets=torch.ones(3, dtype=torch.int64))
    losses = compute_losses(model, model(even), even)
    losses.total.backward()
    for name, gradient in gradients(model).items():
        torch.testing.assert_close(mine[name], gradient, rtol=1e-6, atol=1e-9, msg=name)
