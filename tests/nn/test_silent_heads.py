"""Models that read a modality and don't generate it."""

from __future__ import annotations

import torch

from omni.callbacks.logits import head_squares
from omni.datamodules.collate import collate
from omni.losses import compute_losses
from omni.modality import AUDIO, IMAGE, TEXT
from omni.nn.config import AudioHeadConfig, ImageHeadConfig
from tests.tiny import tiny_documents
from tests.tiny_model import sequences_of, tiny_model


def test_heads_that_are_off_have_no_weights_no_loss_and_no_counts() -> None:
    silent = {"image": ImageHeadConfig(generate=False), "audio": AudioHeadConfig(generate=False)}
    model, batch = tiny_model(**silent), collate([sequences_of(tiny_documents(8))])
    assert model.config.generated == (TEXT,)
    assert not any(name.startswith(("image_head", "audio_head")) for name in model.state_dict())
    losses = compute_losses(model, model(batch), batch)
    losses.total.backward()
    assert losses.sums_M[TEXT.id] > 0 and losses.counts_M[TEXT.id] > 0
    assert not losses.sums_M[1:].any() and not losses.counts_M[1:].any()
    squares = head_squares(model, model(batch).x_BSD, batch)
    assert squares[TEXT.id].all() and not squares[1:].any()


def test_one_head_alone() -> None:
    model, batch = (
        tiny_model(audio=AudioHeadConfig(generate=False)),
        collate([sequences_of(tiny_documents(8))]),
    )
    assert model.config.generated == (TEXT, IMAGE)
    losses = compute_losses(model, model(batch), batch)
    assert losses.counts_M[IMAGE.id] > 0 and losses.counts_M[AUDIO.id] == 0
    assert torch.isfinite(losses.total)
