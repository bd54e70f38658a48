"""Which parameters decay, learn slower, and are Muon's."""

from __future__ import annotations

from typing import Any

import pytest
from torch import nn

from omni.nn.config import MoEConfig
from omni.optim.config import OptimConfig
from omni.optim.groups import parameter_groups
from tests.tiny_model import tiny_model

MIXED = MoEConfig(experts=4, top_k=2, expert_width=16, shared_width=24, dense_layers=1)


def named(model: nn.Module, groups: list[dict[str, Any]]) -> list[set[str]]:
    """Names of the parameters of each group."""
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [{names[id(parameter)] for parameter in group["params"]} for group in groups]


def test_norms_biases_and_embeddings_do_not_decay() -> None:
    model = tiny_model()
    muon, adamw = parameter_groups(model, OptimConfig(weight_decay=0.1))
    assert not muon
    assert [(group["lr"], group["weight_decay"]) for group in adamw] == [(3e-4, 0.1), (3e-4, 0.0)]
    decayed, plain = named(model, adamw)
    assert decayed | plain == {name for name, _ in model.named_parameters()}
    assert not decayed & plain
    assert {"embed.text.weight", "embed.codes.weight", "embed.row.weight", "norm.weight"} <= plain
    assert {"audio_head.level.weight", "image_head.row.weight", "embed.patch.bias"} <= plain
    assert {name for name in plain if name.startswith("blocks.0")} == {
        f"blocks.0.{name}.weight"
        for name in ("attention_norm", "attention.q_norm", "attention.k_norm", "feed_forward_norm")
    }
    assert {name for name in decayed if name.startswith("blocks.0")} == {
        "blocks.0.attention.qkv.weight",
        "blocks.0.attention.out.weight",
        "blocks.0.moe.router.weight",
        "blocks.0.moe.experts.w13",
        "blocks.0.moe.experts.w2",
    }
    assert {"audio_head.logits", "embed.patch.weight", "image_head.velocity.weight"} <= decayed


@pytest.mark.parametrize(
    ("settings", "plain"),
    [
        ({"decay_vectors": True}, {"embed.text.weight"}),
        ({"decay_embeddings": True}, {"norm.weight", "embed.patch.bias"}),
        ({"decay_vectors": True, "decay_embeddings": True}, set()),
    ],
    ids=["vectors", "embeddings", "both"],
)
def test_norms_and_embeddings_decay_by_option(settings: dict[str, Any], plain: set[str]) -> None:
    model = tiny_model()
    _, adamw = parameter_groups(model, OptimConfig(weight_decay=0.1, **settings))
    found = named(model, [group for group in adamw if group["weight_decay"] == 0])
    looked_at = {"embed.text.weight", "norm.weight", "embed.patch.bias"}
    assert looked_at & set().union(*found) == plain


def test_muon_has_the_matrices_of_the_layers_and_adamw_the_rest() -> None:
    model = tiny_model(moe=MIXED)
    config = OptimConfig(optimizer="muon", lr=1e-3, weight_decay=0.1)
    muon, adamw = parameter_groups(model, config)
    matrices = dict(zip([group["rows"] for group in muon], named(model, muon), strict=True))
    assert matrices == {
        (32, 16, 16): {f"blocks.{layer}.attention.qkv.weight" for layer in (0, 1)},  # queries, keys, values
        (): {
            "blocks.0.attention.out.weight",
            "blocks.0.dense.w2.weight",
            "blocks.1.attention.out.weight",
            "blocks.1.moe.experts.w2",
            "blocks.1.moe.shared.w2.weight",
        },
        (32, 32): {"blocks.0.dense.w13.weight"},  # gate and up
        (16, 16): {"blocks.1.moe.experts.w13"},
        (24, 24): {"blocks.1.moe.shared.w13.weight"},
    }
    decayed, plain = named(model, adamw)
    assert {"blocks.1.moe.router.weight", "audio_head.logits", "image_head.hidden.weight"} <= decayed
    assert {"embed.text.weight", "norm.weight", "blocks.0.attention_norm.weight"} <= plain
    everything = set().union(*matrices.values()) | decayed | plain
    assert everything == {name for name, _ in model.named_parameters()}


def test_mup_learns_hidden_and_output_matrices_slower_by_the_width() -> None:
    model = tiny_model()
    _, adamw = parameter_groups(model, OptimConfig(lr=1e-3, weight_decay=0.1), width_ratio=4.0)
    found = {
        name: (group["lr"], group["weight_decay"])
        for group, names in zip(adamw, named(model, adamw), strict=True)
        for name in names
    }
    slower, same, plain = (
        (2.5e-4, 0.4),
        (1e-3, 0.1),
        (1e-3, 0.0),
    )  # lr * decay is the same for all that decays
    assert {
        name: found[name]
        for name in (
            "blocks.0.attention.qkv.weight",
            "blocks.0.moe.experts.w2",
            "blocks.0.moe.router.weight",
            "image_head.hidden.weight",
            "image_head.velocity.weight",
            "embed.patch.weight",
            "embed.text.weight",
            "norm.weight",
        )
    } == {
        "blocks.0.attention.qkv.weight": slower,
        "blocks.0.moe.experts.w2": slower,
        "blocks.0.moe.router.weight": slower,
        "image_head.hidden.weight": slower,
        "image_head.velocity.weight": slower,
        "embed.patch.weight": same,
        "embed.text.weight": plain,
        "norm.weight": plain,
    }
