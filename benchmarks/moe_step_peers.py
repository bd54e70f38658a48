"""Layers in ``benchmarks.moe_step``: ours, the peers', and the dense one that they are measured by.

All get the weights of ours, so they compute the same function; ``same_output`` checks it. Peers are set up as they
are for training on one device, with nothing added.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from omni.modality import TEXT
from omni.nn.config import ModelConfig
from omni.nn.feed_forward import SwiGLU
from omni.nn.moe.layer import MoE

OURS, COMPILED, DENSE = "omni", "omni compiled", "dense"


class Ours(nn.Module):
    """Our layer on text alone, without its routing."""

    def __init__(self, moe: MoE) -> None:
        super().__init__()
        self.moe = moe

    def forward(self, x_BSD: Float[Tensor, "B S D"]) -> Float[Tensor, "B S D"]:
        """The mixed output."""
        return self.moe(x_BSD, torch.full(x_BSD.shape[:2], TEXT.id, dtype=torch.uint8))[0]


def dense(config: ModelConfig) -> SwiGLU:
    """As many FLOPs a position as the chosen experts together have."""
    return SwiGLU(config.width, config.moe.top_k * config.moe.expert_width)


@dataclass(frozen=True)
class Peer:
    """Another implementation of the layer."""

    name: str
    package: str
    """What pip installs."""
    make: Callable[[ModelConfig, MoE], nn.Module]
    """With the weights of ours. An ``ImportError`` where it isn't installed."""
    fp32: bool = True
    """Whether it computes in fp32; one that doesn't has no place in that column."""
    most_rows: int | None = None
    """More rows than that (positions times chosen experts) don't fit into memory."""

    def why_not(self, half: bool, rows: int) -> str | None:
        """Why it is left out of a column; none where it takes part."""
        if not half and not self.fp32:
            return "always computes in bf16"
        if self.most_rows is not None and rows > self.most_rows:
            return f"copies two weight matrices a row: {rows} rows don't fit into memory"
        return None


def mixtral(implementation: str) -> Callable[[ModelConfig, MoE], nn.Module]:
    """The sparse block of ``transformers``' Mixtral."""

    def make(config: ModelConfig, ours: MoE) -> nn.Module:
        from transformers import MixtralConfig
        from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock

        settings: dict[str, Any] = {
            "hidden_size": config.width,
            "intermediate_size": config.moe.expert_width,
            "num_local_experts": config.moe.experts,
            "num_experts_per_tok": config.moe.top_k,
            "experts_implementation": implementation,
        }
        block = MixtralSparseMoeBlock(MixtralConfig(**settings))
        copy(ours.router.weight, block.gate.weight)
        copy(ours.experts.w13, block.experts.gate_up_proj)
        copy(ours.experts.w2, block.experts.down_proj)
        return block

    return make


def litgpt(config: ModelConfig, ours: MoE) -> nn.Module:
    """The layer of ``litgpt``'s Mixtral."""
    from litgpt.config import Config
    from litgpt.model import LLaMAMoE

    settings = Config(
        n_embd=config.width,
        n_head=config.heads,
        mlp_class_name="LLaMAMoE",
        n_expert=config.moe.experts,
        n_expert_per_token=config.moe.top_k,
        intermediate_size=config.moe.expert_width,
        moe_intermediate_size=config.moe.expert_width,
        bias=False,
    )
    layer = LLaMAMoE(settings)
    copy(ours.router.weight, layer.gate.weight)
    for expert, w13, w2 in zip(layer.experts, ours.experts.w13, ours.experts.w2, strict=True):
        gate, up = w13.chunk(2)
        copy(gate, expert.fc_1.weight)
        copy(up, expert.fc_2.weight)
        copy(w2, expert.proj.weight)
    return layer


def torchtitan(config: ModelConfig, ours: MoE) -> nn.Module:
    """The layer of ``torchtitan``'s models; its experts compute in bf16 whatever they get."""
    from torchtitan.models.common.linear import Linear
    from torchtitan.models.common.moe import GroupedExperts, MoE, RoutedExperts, TokenChoiceTopKRouter
    from torchtitan.models.common.token_dispatcher import LocalTokenDispatcher

    moe = config.moe
    experts = GroupedExperts.Config(dim=config.width, hidden_dim=moe.expert_width, num_experts=moe.experts)
    dispatcher = LocalTokenDispatcher.Config(num_experts=moe.experts, top_k=moe.top_k)
    settings = MoE.Config(
        num_experts=moe.experts,
        routed_experts=RoutedExperts.Config(inner_experts=experts, token_dispatcher=dispatcher),
        router=TokenChoiceTopKRouter.Config(
            num_experts=moe.experts,
            gate=Linear.Config(in_features=config.width, out_features=moe.experts),
            top_k=moe.top_k,
            score_func="softmax",
            route_norm=True,
        ),
    )
    layer = settings.build()
    copy(ours.router.weight, layer.router.gate.weight)
    inner, (gate, up) = layer.routed_experts.inner_experts, ours.experts.w13.chunk(2, dim=1)
    for source, target in ((gate, inner.w1_EFD), (up, inner.w3_EFD), (ours.experts.w2, inner.w2_EDF)):
        copy(source, target)
    layer.expert_bias_E.zero_()
    return layer


def copy(source: Tensor, target: Any) -> None:
    """Of weights."""
    with torch.no_grad():
        target.copy_(source)


PEERS = (
    Peer("transformers grouped_mm", "transformers", mixtral("grouped_mm")),
    Peer("transformers eager", "transformers", mixtral("eager")),
    Peer("transformers batched_mm", "transformers", mixtral("batched_mm"), most_rows=1024),
    Peer("litgpt", "litgpt", litgpt),
    Peer("torchtitan", "torchtitan", torchtitan, fp32=False),
)
