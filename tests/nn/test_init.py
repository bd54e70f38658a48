"""Weights at the start, and the coordinate check of µP: what training changes has one scale over widths."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from omni.modality import TEXT
from omni.model import OmniTransformer
from omni.nn.block import Block
from omni.nn.config import (
    AudioHeadConfig,
    ImageHeadConfig,
    InitConfig,
    ModelConfig,
    MoEConfig,
    TextHeadConfig,
)
from omni.optim.build import build_optimizer
from omni.optim.config import MuonConfig, OptimConfig
from omni.sequence import OmniBatch
from tests.tiny_model import VOCABULARY

WIDTHS = (64, 128, 256, 512)
STEPS = 3


def of_width(width: int, init: InitConfig, layers: int = 2) -> OmniTransformer:
    """A model in which all widths grow together and heads keep 32 channels."""
    config = ModelConfig(
        width=width,
        layers=layers,
        heads=width // 32,
        kv_heads=width // 32,
        moe=MoEConfig(experts=4, top_k=2, expert_width=width // 2, balance_rate=0.0),
        text=TextHeadConfig(tied=False),
        image=ImageHeadConfig(width=width, depth=1),
        audio=AudioHeadConfig(width=width, depth=1),
        init=init,
    )
    model = OmniTransformer(config, VOCABULARY)
    model.initialise(0)
    return model


def text_batch() -> OmniBatch:
    """Four rows of random tokens."""
    ids = torch.randint(VOCABULARY.text, (4, 16), generator=torch.Generator().manual_seed(0))
    return OmniBatch(
        modality=torch.full_like(ids, TEXT.id, dtype=torch.uint8),
        text_ids=ids,
        coords=torch.arange(16)[None, :, None].repeat(4, 1, 3),
        loss=torch.ones_like(ids, dtype=torch.bool),
        patches=torch.zeros(0, VOCABULARY.patch_values),
        codes=torch.zeros(0, VOCABULARY.codebooks, dtype=torch.long),
        lengths=(16,) * 4,
        targets=torch.tensor([60, 0, 0]),
    )


@torch.no_grad()
def activations(model: OmniTransformer, batch: OmniBatch) -> dict[str, Tensor]:
    """What attention adds, what experts add, the stream behind the last block, and the logits."""
    seen: dict[str, Tensor] = {}
    first, last = model.blocks[0], model.blocks[1]
    assert isinstance(first, Block) and isinstance(last, Block) and last.moe is not None
    hooks = [
        first.attention.register_forward_hook(lambda *of: seen.update(attention=of[2])),
        last.moe.register_forward_hook(lambda *of: seen.update(experts=of[2][0])),
        last.register_forward_hook(lambda *of: seen.update(stream=of[2][0])),
    ]
    seen["logits"] = model.text_head(model(batch).x_BSD)
    for hook in hooks:
        hook.remove()
    return seen


def changes(width: int, init: InitConfig, config: OptimConfig) -> dict[str, float]:
    """Root mean square of what three steps change of the activations."""
    model, batch = of_width(width, init), text_batch()
    optimizer, _ = build_optimizer(model, config, STEPS, model.config.width_ratio)
    before = activations(model, batch)
    for _ in range(STEPS):
        optimizer.zero_grad()
        hidden_ND = model(batch).x_BSD[:, :-1].flatten(0, 1)
        loss = model.text_head.loss(hidden_ND, batch.text_ids[:, 1:].flatten()).objective
        (loss / len(hidden_ND)).backward()
        optimizer.step()
    after = activations(model, batch)
    return {name: (after[name] - before[name]).square().mean().sqrt().item() for name in before}


def spread(init: InitConfig, **settings: Any) -> dict[str, float]:
    """Largest over smallest change of each activation over the widths."""
    config = OptimConfig(lr=1e-2, warmup_steps=0, schedule="constant", weight_decay=0.0, **settings)
    found = [changes(width, init, config) for width in WIDTHS]
    return {name: max(f[name] for f in found) / min(f[name] for f in found) for name in found[0]}


MUON = {"optimizer": "muon", "muon": MuonConfig(adjust="spectral_unclamped", lr_scale=5.0)}


@pytest.mark.parametrize("settings", [{}, MUON], ids=["adamw", "muon"])
def test_coordinate_check(settings: dict[str, Any]) -> None:
    """Seen with µP: 1.1 to 1.4 for each activation; Muon's own scaling does the same for hidden matrices."""
    assert max(spread(InitConfig(method="mup", base_width=64), **settings).values()) < 1.6


def test_coordinate_check_fails_without_mup() -> None:
    """Seen: attention 9, experts 2.4, stream 6.5, logits 2.4, all growing with the width."""
    found = spread(InitConfig())
    assert min(found.values()) > 2.0 and max(found["stream"], found["attention"]) > 5.0, found


def test_mup_is_standard_at_the_base_width() -> None:
    standard, mup = (
        of_width(64, InitConfig(method=method, base_width=64)).state_dict() for method in ("standard", "mup")
    )
    torch.testing.assert_close(standard, mup, rtol=0, atol=0)


def test_deviations_of_mup_at_four_times_the_base_width() -> None:
    """Tables keep their size, outputs start smaller, hidden matrices are as ever."""
    wide = of_width(256, InitConfig(method="mup", base_width=64))
    deviation = {name: p.std().item() * math.sqrt(256) for name, p in wide.named_parameters() if p.ndim > 1}
    expected = {
        "embed.text.weight": 2.0,
        "blocks.0.attention.qkv.weight": 1.0,
        "blocks.0.attention.out.weight": 0.5,  # times 1 / sqrt(2 layers * 2)
        "blocks.0.moe.experts.w13": 1.0,
        "blocks.0.moe.router.weight": 0.5,
        "text_head.linear.weight": 0.5,
        "audio_head.logits": 0.5,
    }
    assert {name: deviation[name] for name in expected} == pytest.approx(expected, rel=0.06)


@pytest.mark.parametrize(("layers", "shrunk"), [(2, 0.5), (8, 0.25)])
def test_what_writes_to_the_stream_starts_smaller_by_option(layers: int, shrunk: float) -> None:
    scaled = of_width(64, InitConfig(), layers).state_dict()
    plain = of_width(64, InitConfig(depth_scaled=False), layers).state_dict()
    for name, weight in plain.items():
        writes = name.endswith(("attention.out.weight", "experts.w2"))
        factor = shrunk if writes else 1.0
        torch.testing.assert_close(scaled[name], weight * factor, rtol=1e-6, atol=0)
