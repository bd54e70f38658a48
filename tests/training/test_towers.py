"""Towers from a checkpoint: taken over bit for bit, or refused with what differs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from omni.export import write_export
from omni.model import OmniTransformer
from omni.training.pretrain import Pretrain
from omni.training.towers import take_towers
from tests.nn.encoders.encoder_model import tiny_encoders
from tests.tiny import tiny_tokenizers
from tests.tiny_model import tiny_config, tiny_model


@pytest.fixture
def trained(tmp_path: Path) -> str:
    """A model with encoders, as ``omni export`` writes it."""
    write_export(tmp_path / "trained", tiny_model(seed=5, encoders=tiny_encoders()), tiny_tokenizers())
    return str(tmp_path / "trained")


def towers(model: OmniTransformer) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in model.state_dict().items() if ".tower." in name}


def test_frozen_towers_are_those_of_the_checkpoint(trained: str, tmp_path: Path) -> None:
    tiny_tokenizers().save(tmp_path / "tokenizers")
    config = tiny_config(encoders=tiny_encoders(frozen=True))
    module = Pretrain(str(tmp_path / "tokenizers"), config, towers_from=trained)
    source = tiny_model(seed=5, encoders=tiny_encoders())
    torch.testing.assert_close(towers(module.model), towers(source), rtol=0, atol=0)
    name = "encoders.image.projector.up.weight"
    assert not module.model.state_dict()[name].equal(source.state_dict()[name])


def test_frozen_towers_need_to_come_from_somewhere(tmp_path: Path) -> None:
    tiny_tokenizers().save(tmp_path / "tokenizers")
    config = tiny_config(encoders=tiny_encoders(frozen=True))
    with pytest.raises(
        ValueError, match=r"image\.frozen is true, but nothing is loaded into it: .* model\.towers_from"
    ):
        Pretrain(str(tmp_path / "tokenizers"), config)


def test_what_does_not_fit_is_named(trained: str, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match=r"this run has no encoders; set model\.network\.encoders\.image\.layers"
    ):
        take_towers(tiny_model(), tiny_tokenizers(), trained)
    wider = replace(tiny_encoders(), image=tiny_encoders(hidden=32).image)
    with pytest.raises(ValueError, match=r"encoders\.image differs: hidden 24 there, 32 here"):
        take_towers(tiny_model(encoders=wider), tiny_tokenizers(), trained)
    alone = replace(tiny_encoders(), audio=tiny_encoders(layers=0).audio)
    write_export(tmp_path / "pictures", tiny_model(encoders=alone), tiny_tokenizers())
    with pytest.raises(ValueError, match=r"no encoder of audio there; it has image"):
        take_towers(tiny_model(encoders=tiny_encoders()), tiny_tokenizers(), str(tmp_path / "pictures"))
