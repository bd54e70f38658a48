"""FLOPs and parameters of encoders by formula against torch's counter and a sum by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from omni.code_layout import LayoutName
from omni.model import OmniTransformer
from omni.nn.config import AudioHeadConfig, ImageHeadConfig, ModelConfig
from omni.nn.encoders.config import AudioEncoderConfig, EncodersConfig, ImageEncoderConfig
from omni.planning.flop_counter import flop_counter
from omni.planning.flops import flops_of
from omni.planning.parameters import count_parameters
from omni.planning.workload import Learnt, Mix, Workload
from omni.sequence import OmniBatch
from tests.planning.text_batch import VOCABULARY, small_config

PATCHES, FRAMES, PAIRS, TEXT = 16, 20, 4, 32
LENGTH = PAIRS * (PATCHES + FRAMES + 2) + TEXT
"""A row: four times a marker and a picture, a marker and a clip; then text."""


def fused(frozen: bool = False) -> ModelConfig:
    return small_config(
        encoders=EncodersConfig(
            image=ImageEncoderConfig(layers=2, width=96, heads=4, hidden=160, frozen=frozen),
            audio=AudioEncoderConfig(layers=2, width=64, heads=2, hidden=96, kernel=7, frozen=frozen),
        )
    )


def read_batch(rows: int) -> OmniBatch:
    """Pictures of 4 x 4 patches and clips that are read."""
    row = ([0] + [1] * PATCHES + [0] + [2] * FRAMES) * PAIRS + [0] * TEXT
    modality = torch.tensor([row] * rows, dtype=torch.uint8)
    coords = torch.arange(LENGTH).view(1, -1, 1).repeat(rows, 1, 3)
    grid = torch.cartesian_prod(torch.arange(4), torch.arange(4)).repeat(rows * PAIRS, 1)
    held = modality == 1
    coords[held] = torch.cat([torch.zeros(len(grid), 1, dtype=torch.long), grid], dim=1)
    return OmniBatch(
        modality=modality,
        text_ids=torch.randint(0, VOCABULARY.text, modality.shape),
        coords=coords,
        loss=modality == 0,
        patches=torch.randn(rows * PAIRS * PATCHES, VOCABULARY.patch_values),
        codes=torch.randint(0, VOCABULARY.codebook_size, (rows * PAIRS * FRAMES, VOCABULARY.codebooks)),
        lengths=(LENGTH,) * rows,
        targets=torch.tensor([rows * LENGTH, 1, 1]),
    )


def workload(rows: int) -> Workload:
    image, audio = PAIRS * PATCHES / LENGTH, PAIRS * FRAMES / LENGTH
    return Workload(
        length=LENGTH,
        rows=rows,
        mix=Mix(text=1 - image - audio, image=image, audio=audio),
        learnt=Learnt(image=0.0, audio=0.0),
        picture=PATCHES,
        clip=FRAMES,
    )


@pytest.mark.parametrize("frozen", [False, True], ids=["learning", "frozen"])
@pytest.mark.parametrize("half", [False, True], ids=["fp32", "bf16"])
def test_a_training_step_counts_as_the_formula_says(frozen: bool, half: bool) -> None:
    model, batch = OmniTransformer(fused(frozen), VOCABULARY), read_batch(2)
    model.initialise(0)
    with flop_counter() as counter:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            x_BSD = model(batch).x_BSD
            loss = model.text_head.loss(x_BSD[batch.modality == 0], batch.text_ids[batch.modality == 0])
        loss.objective.backward()
    planned = flops_of(fused(frozen), VOCABULARY, workload(2))
    assert counter.get_total_flops() == pytest.approx(2 * LENGTH * planned.hardware(), rel=0.01)
    assert sum(planned.encoding.parts.values()) > 0.15 * planned.forward, "a share that 1 % would not hide"


def test_encoders_cost_nothing_where_nothing_is_read() -> None:
    learnt = replace(workload(2), learnt=Learnt())
    with_encoders, without = (flops_of(config, VOCABULARY, learnt) for config in (fused(), small_config()))
    assert with_encoders.training == without.training


def test_heads_cost_for_what_is_learnt() -> None:
    whole, half = (
        flops_of(small_config(), VOCABULARY, replace(workload(2), learnt=Learnt(text=t, image=t, audio=t)))
        for t in (1.0, 0.5)
    )
    for head in ("text_head", "image_head", "audio_head"):
        assert half.parts[head] == whole.parts[head] / 2 > 0
    silent = small_config(image=ImageHeadConfig(generate=False), audio=AudioHeadConfig(generate=False))
    parts = flops_of(silent, VOCABULARY, replace(workload(2), learnt=Learnt())).parts
    assert parts["image_head"] == parts["audio_head"] == 0


@pytest.mark.parametrize("layout", ["delay", "flat"])
def test_the_head_of_a_late_layout_counts_as_the_formula_says(layout: LayoutName) -> None:
    """K codes at each position with ``delay``, one with ``flat``."""
    model = OmniTransformer(small_config(audio=AudioHeadConfig(width=64, depth=1, layout=layout)), VOCABULARY)
    model.initialise(0)
    hidden, codes = torch.randn(40, 128, requires_grad=True), torch.randint(64, (40, 4))
    if layout == "flat":
        codes[torch.arange(40)[:, None] % 4 != torch.arange(4)] = -1
    planned = flops_of(model.config, VOCABULARY, Workload(mix=Mix(text=0.0, audio=1.0)))
    with flop_counter() as counter:
        model.audio_head.loss(hidden, codes)[0].backward()
    assert counter.get_total_flops() == pytest.approx(40 * 3 * planned.parts["audio_head"], rel=0.01)


def test_parameters_by_part_and_by_hand() -> None:
    counted, plain = (count_parameters(config, VOCABULARY) for config in (fused(), small_config()))
    width, hidden = 96, 160
    block = 4 * width**2 + 4 * width + 2 * width * hidden + hidden + width + 4 * width
    image = 2 * block + (48 + 1) * width + 2 * 8 * width + 2 * width
    projectors = sum((w + 1) * 128 + 129 * 128 for w in (96, 64))
    assert counted.parts["image_tower"] == image
    assert counted.parts["projectors"] == projectors
    added = sum(counted.parts[part] for part in ("image_tower", "audio_tower", "projectors"))
    assert counted.total - plain.total == counted.active - plain.active == added
    assert plain.parts["image_tower"] == plain.parts["audio_tower"] == plain.parts["projectors"] == 0
    assert counted == count_parameters(fused(frozen=True), VOCABULARY)


def test_shares_outside_of_0_to_1_are_refused() -> None:
    with pytest.raises(ValueError, match=r"--learnt image=1\.5: a share must be in \[0, 1\]"):
        Learnt(image=1.5)
