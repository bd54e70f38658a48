"""The role of every parameter of a small model, shown whole."""

from __future__ import annotations

from omni.nn.config import MoEConfig, TextHeadConfig
from omni.nn.roles import roles_of, stacked_rows
from tests.tiny_model import VOCABULARY, tiny_model

MIXED = MoEConfig(experts=4, top_k=2, expert_width=16, shared_width=24, dense_layers=1)


def test_roles() -> None:
    model = tiny_model(vocabulary=VOCABULARY, moe=MIXED, text=TextHeadConfig(tied=False))
    roles = roles_of(model)
    assert roles.keys() == dict(model.named_parameters()).keys()
    by_role: dict[str, list[str]] = {}
    for name, role in roles.items():
        by_role.setdefault(role, []).append(name)
    assert {role: sorted(names) for role, names in by_role.items() if role != "vector"} == {
        "table": [
            "audio_head.earlier.weight",
            "audio_head.level.weight",
            "embed.codes.weight",
            "embed.col.weight",
            "embed.row.weight",
            "embed.text.weight",
            "image_head.col.weight",
            "image_head.row.weight",
        ],
        "input": ["embed.patch.weight", "image_head.noisy.weight", "image_head.time.weight"],
        "hidden": [
            "audio_head.blocks.0.down.weight",
            "audio_head.blocks.0.modulation.weight",
            "audio_head.blocks.0.up.weight",
            "audio_head.hidden.weight",
            "blocks.0.attention.out.weight",
            "blocks.0.attention.qkv.weight",
            "blocks.0.dense.w13.weight",
            "blocks.0.dense.w2.weight",
            "blocks.1.attention.out.weight",
            "blocks.1.attention.qkv.weight",
            "blocks.1.moe.experts.w13",
            "blocks.1.moe.experts.w2",
            "blocks.1.moe.shared.w13.weight",
            "blocks.1.moe.shared.w2.weight",
            "image_head.blocks.0.down.weight",
            "image_head.blocks.0.modulation.weight",
            "image_head.blocks.0.up.weight",
            "image_head.hidden.weight",
        ],
        "output": [
            "audio_head.logits",
            "blocks.1.moe.router.weight",
            "image_head.velocity.weight",
            "text_head.linear.weight",
        ],
    }
    assert all(name.endswith((".bias", "norm.weight")) for name in by_role["vector"])


def test_a_tied_text_head_is_a_table() -> None:
    roles = roles_of(tiny_model(vocabulary=VOCABULARY))
    assert roles["embed.text.weight"] == "table" and "text_head.linear.weight" not in roles


def test_matrices_on_top_of_each_other() -> None:
    model = tiny_model(vocabulary=VOCABULARY, moe=MIXED)
    assert stacked_rows(model) == {
        "blocks.0.attention.qkv.weight": (32, 16, 16),
        "blocks.0.dense.w13.weight": (32, 32),
        "blocks.1.attention.qkv.weight": (32, 16, 16),
        "blocks.1.moe.experts.w13": (16, 16),
        "blocks.1.moe.shared.w13.weight": (24, 24),
    }
    for name, rows in stacked_rows(model).items():
        assert sum(rows) == model.get_parameter(name).shape[-2], name
