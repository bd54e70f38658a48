"""Loss on the assistant's segments only, in every modality."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from omni.datamodules.collate import collate
from omni.losses import compute_losses
from omni.modality import AUDIO, IMAGE, TEXT
from omni.model import OmniTransformer
from omni.nn.config import MoEConfig
from omni.sequence import Audio, Document, Image, OmniBatch, Segment, Text, turn_of
from tests.tiny import SAMPLE_RATE, picture, tiny_tokenizers, tone
from tests.tiny_model import gradients, sequences_of, tiny_model

PARTS: tuple[Segment, ...] = (Text("draw seven"), Image(picture(7)), Audio(tone(7), SAMPLE_RATE))
BEFORE = (*turn_of(PARTS, "user", False), *turn_of(PARTS, "assistant", True), *turn_of(PARTS, "user", False))


def flipped(batch: OmniBatch, learned: bool, part: slice) -> OmniBatch:
    """Another token, patch and frame wherever something is learned, or wherever nothing is."""
    text_ids, patches, codes = batch.text_ids.clone(), batch.patches.clone(), batch.codes.clone()
    chosen_BS = torch.zeros_like(batch.loss)
    chosen_BS[:, part] = batch.loss[:, part] == learned
    markers = torch.tensor(sorted(tiny_tokenizers().text.control_ids))
    said_BS = chosen_BS & batch.of(TEXT) & ~torch.isin(text_ids, markers)  # markers and grid sizes stay
    text_ids[said_BS] = torch.where(text_ids[said_BS] == 329, 328, 329)
    patches[chosen_BS[batch.of(IMAGE)]] += 0.5
    codes[chosen_BS[batch.of(AUDIO)]] = (codes[chosen_BS[batch.of(AUDIO)]] + 1) % 16
    changed = [not torch.equal(a, b) for a, b in ((text_ids, batch.text_ids), (patches, batch.patches))]
    assert all([*changed, not torch.equal(codes, batch.codes)]), "something of each modality was flipped"
    return replace(batch, text_ids=text_ids, patches=patches, codes=codes)


def gradient(model: OmniTransformer, read: OmniBatch, asked: OmniBatch) -> dict[str, torch.Tensor]:
    """Of the loss on the targets of ``asked`` where the model reads ``read``."""
    model.zero_grad()
    compute_losses(model, model(read), asked).total.backward()
    return gradients(model)


@pytest.fixture(scope="module")
def batch() -> OmniBatch:
    return collate([sequences_of([Document(BEFORE)])])


def test_what_the_user_says_is_no_target(batch: OmniBatch) -> None:
    model = tiny_model(dtype=torch.float64)
    plain = gradient(model, batch, batch)
    user = gradient(model, batch, flipped(batch, learned=False, part=slice(None)))
    assistant = gradient(model, batch, flipped(batch, learned=True, part=slice(None)))
    assert all(torch.equal(plain[name], user[name]) for name in plain)
    for head in ("text_head", "image_head", "audio_head"):
        names = [name for name in plain if name.startswith(head) and plain[name].any()]
        assert any(not torch.equal(plain[name], assistant[name]) for name in names) or head == "text_head"
    assert not torch.equal(plain["embed.text.weight"], assistant["embed.text.weight"])


def test_a_last_turn_of_the_user_has_no_gradient_at_all(batch: OmniBatch) -> None:
    """Nothing behind it is learned, so neither reading it nor predicting it counts. (The routers' z-loss, which is
    over all positions, is left out.)"""
    moe = MoEConfig(experts=4, top_k=2, expert_width=16, z_loss=0.0)
    model = tiny_model(dtype=torch.float64, moe=moe)
    last = int(batch.loss[0].nonzero().max()) + 1
    other = flipped(batch, learned=False, part=slice(last, None))
    plain, changed = gradient(model, batch, batch), gradient(model, other, other)
    for name, found in plain.items():
        torch.testing.assert_close(found, changed[name], rtol=1e-9, atol=1e-13, msg=name)
    assert TEXT.id in batch.modality[0, last:]
