"""Norms by part of the model are those of clipping, and clipping is torch's."""

from __future__ import annotations

import pytest
import torch

from omni.model import OmniTransformer
from omni.nn.config import TextHeadConfig
from omni.training.gradients import GradientNorms, parts_of
from tests.tiny_model import VOCABULARY, tiny_model


def with_gradients(tied: bool = True) -> OmniTransformer:
    model = tiny_model(vocabulary=VOCABULARY, text=TextHeadConfig(tied=tied))
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    model.image_head.time.weight.grad = None
    return model


@pytest.mark.parametrize(("tied", "text"), [(True, "text_table"), (False, "text_head")])
def test_each_part_has_the_norm_of_its_gradients(tied: bool, text: str) -> None:
    model = with_gradients(tied)
    norms = GradientNorms.of(model.parameters()).by_part(model)
    assert norms.keys() == {text, "image_head", "audio_head", "embed", "stack"}
    head = [p.grad.flatten() for p in model.audio_head.parameters() if p.grad is not None]
    torch.testing.assert_close(norms["audio_head"], torch.cat(head).norm())
    everything = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    torch.testing.assert_close(torch.stack(list(norms.values())).norm(), everything.norm())


def test_every_parameter_is_in_one_part() -> None:
    model = with_gradients(tied=False)
    parts = {id(parameter): part for parameter, part in parts_of(model).items()}
    assert len(parts) == len(list(model.parameters()))
    assert {parts[id(p)] for p in [*model.blocks.parameters(), *model.norm.parameters()]} == {"stack"}
    assert parts[id(model.embed.text.weight)] == "embed"
    assert parts[id(model.text_head.linear.weight)] == "text_head"


def test_clipping_is_torchs_to_the_last_bit() -> None:
    ours, theirs = with_gradients(), with_gradients()
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        other.grad = None if one.grad is None else one.grad.clone()
    GradientNorms.of(ours.parameters()).clip(1.0)
    torch.nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        assert one.grad is None or other.grad is None or torch.equal(one.grad, other.grad)
