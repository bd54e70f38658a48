"""Late fusion: a tower sees its own segment whole, and no position knows what it is to generate."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from omni.datamodules.collate import collate
from omni.losses import compute_losses
from omni.modality import AUDIO, IMAGE
from omni.model import OmniTransformer
from omni.nn.config import InitConfig, ModelConfig, TextHeadConfig
from omni.nn.encoders.config import AudioEncoderConfig, ImageEncoderConfig
from omni.nn.encoders.segments import read_positions
from omni.sequence import OmniBatch
from tests.nn.encoders.encoder_model import tiny_encoders
from tests.tiny import tiny_documents
from tests.tiny_model import sequences_of, shake, tiny_config, tiny_model


def batch_of_all_kinds() -> OmniBatch:
    return collate([sequences_of(tiny_documents(8))])


def entered(model: OmniTransformer, batch: OmniBatch) -> torch.Tensor:
    """What enters the blocks."""
    seen: list[torch.Tensor] = []
    hook = model.blocks[0].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].detach()))
    model(batch)
    hook.remove()
    return seen[0]


def test_a_segment_that_is_read_is_seen_whole_and_alone() -> None:
    """Change one patch: the vectors of its own picture change, before and behind it, and no others."""
    model, batch = tiny_model(dtype=torch.float64, encoders=tiny_encoders()), batch_of_all_kinds()
    before = entered(model, batch)[0]
    read = read_positions(batch, IMAGE)[0]
    places = batch.of(IMAGE)[0].nonzero().flatten().tolist()
    for number, place in [*enumerate(places)][::2]:
        patches = batch.patches.clone()
        patches[number] += 1.0
        change = (entered(model, replace(batch, patches=patches))[0] - before).abs().amax(-1) > 0
        start = stop = place
        if read[place]:
            while read[start - 1]:
                start -= 1
            while read[stop + 1]:
                stop += 1
        assert change.nonzero().flatten().tolist() == list(range(start, stop + 1)), number
    assert read.any() and (batch.of(IMAGE)[0] & ~read).any(), "pictures of both kinds"


def test_what_is_generated_enters_as_in_the_unified_model() -> None:
    batch = batch_of_all_kinds()
    fused, unified = tiny_model(encoders=tiny_encoders()), tiny_model()
    unified.load_state_dict({k: v for k, v in fused.state_dict().items() if not k.startswith("encoders.")})
    read = read_positions(batch, IMAGE) | read_positions(batch, AUDIO)
    same = (entered(fused, batch) == entered(unified, batch)).all(-1)
    assert same.equal(~read)


@pytest.mark.parametrize("modality", [IMAGE, AUDIO], ids=lambda m: m.name)
def test_no_position_knows_what_it_is_to_generate(modality: object) -> None:
    """The loss of an image or clip doesn't depend on its targets through the input: those behind t are hidden from t.

    Each position that predicts a patch or frame gives the same hidden state whatever stands there and behind it.
    """
    model, batch = tiny_model(dtype=torch.float64, encoders=tiny_encoders()), batch_of_all_kinds()
    held = batch.of(modality)  # type: ignore[arg-type]
    before = model(batch).x_BSD[0]
    numbers = (batch.loss & held)[held].nonzero().flatten().tolist()
    places = held[0].nonzero().flatten().tolist()
    assert len(numbers) >= 10
    for number in numbers[::4]:
        if modality is IMAGE:
            other = replace(
                batch, patches=batch.patches.index_add(0, torch.tensor([number]), torch.ones(1, 16))
            )
        else:
            codes = batch.codes.clone()
            codes[number] = (codes[number] + 1) % 16
            other = replace(batch, codes=codes)
        change = (model(other).x_BSD[0] - before).abs().amax(-1) > 1e-10
        assert int(change.nonzero()[0]) == places[number]


def test_every_weight_gets_a_gradient_and_absent_modalities_one_of_zeros() -> None:
    model = tiny_model(encoders=tiny_encoders())
    batch = batch_of_all_kinds()
    compute_losses(model, model(batch), batch).total.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []
    model.zero_grad()
    text = collate([sequences_of([d for d in tiny_documents(8) if d.source == "prose"])])
    compute_losses(model, model(text), text).total.backward()
    grads = {name: p.grad for name, p in model.named_parameters() if name.startswith("encoders.")}
    assert all(grad is not None and not grad.any() for grad in grads.values())


def test_frozen_towers_stay_and_projectors_learn() -> None:
    model, batch = tiny_model(encoders=tiny_encoders(frozen=True)), batch_of_all_kinds()
    compute_losses(model, model(batch), batch).total.backward()
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (".tower." in name), name


def test_without_encoders_nothing_is_new() -> None:
    assert tiny_model().encoders is None
    assert not any("encoders" in name for name in tiny_model().state_dict())


def test_the_start() -> None:
    """Biases at zero, norms at one, and each matrix at 1 / sqrt(fan-in), convolutions too."""
    encoders = replace(
        tiny_encoders(width=64, hidden=128),
        audio=AudioEncoderConfig(layers=1, width=64, heads=2, hidden=128, kernel=15),
    )
    model = OmniTransformer(tiny_config(encoders=encoders), tiny_model().vocabulary)
    shake(model)
    model.initialise(0)
    fan_in = {"conv_module.sequential.0.weight": 64, "conv_module.sequential.2.weight": 15}
    for name, weight in model.encoders.named_parameters() if model.encoders is not None else ():
        if name.endswith("bias"):
            assert not weight.any(), name
        elif weight.ndim == 1:
            assert (weight == 1).all(), name
        for ending, count in fan_in.items():
            if name.endswith(ending):
                assert weight.std().item() == pytest.approx(count**-0.5, rel=0.1), name


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: ImageEncoderConfig(layers=1, width=10, heads=4),
            "model.network.encoders.image.width must be a multiple of model.network.encoders.image.heads, got 10",
        ),
        (lambda: AudioEncoderConfig(kernel=4), "model.network.encoders.audio.kernel must be odd, got 4"),
        (lambda: ImageEncoderConfig(layers=-1), "encoders.image.layers must be at least 0, got -1"),
        (
            lambda: ModelConfig(
                init=InitConfig(method="mup"), text=TextHeadConfig(tied=False), encoders=tiny_encoders()
            ),
            "model.network.init.method must be standard with model.network.encoders",
        ),
    ],
)
def test_settings_that_cannot_work_are_named(make: object, said: str) -> None:
    with pytest.raises(ValueError) as refused:
        make()  # type: ignore[operator]
    assert said in str(refused.value)
