"""The mixture-of-experts layer: route, sort by expert, apply, combine."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from omni.nn.config import ModelConfig
from omni.nn.feed_forward import SwiGLU
from omni.nn.moe.experts import Experts
from omni.nn.moe.few import apply_to_all
from omni.nn.moe.router import Router, Routing


class MoE(nn.Module):
    """Dropless mixture of experts; the output of a position does not depend on the others in the batch."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        moe = config.moe
        self.router = Router(config.width, moe)
        self.experts = Experts(moe.experts, config.width, moe.expert_width)
        self.shared = SwiGLU(config.width, moe.shared_width) if moe.shared_width else None
        self.few = 1
        """Positions up to which, without gradients, every chosen expert is applied to all of them."""

    def forward(
        self, x_BSD: Float[Tensor, "B S D"], real_BS: Bool[Tensor, "B S"]
    ) -> tuple[Float[Tensor, "B S D"], Routing]:
        """The mixed output, and the routing for losses and telemetry."""
        x_ND = x_BSD.flatten(0, 1)
        routing = self.router(x_ND, real_BS.flatten())
        if len(x_ND) <= self.few and not torch.is_grad_enabled():
            few_BSD = apply_to_all(self.experts, x_ND, routing.experts_NT, routing.gates_NT).view_as(x_BSD)
            return few_BSD if self.shared is None else few_BSD + self.shared(x_BSD), routing
        experts_R = routing.experts_NT.flatten()
        order_R = experts_R.argsort(stable=True)
        counts_E = torch.bincount(experts_R, minlength=self.router.config.experts)
        source_R = order_R // self.router.config.top_k  # position of each sorted row
        y_RD = self.experts(x_ND.index_select(0, source_R), counts_E)
        gates_R = routing.gates_NT.flatten().index_select(0, order_R).to(y_RD.dtype)
        out_ND = torch.zeros_like(x_ND, dtype=y_RD.dtype).index_add(0, source_R, y_RD * gates_R[:, None])
        out_BSD = out_ND.view_as(x_BSD)
        if self.shared is not None:
            out_BSD = out_BSD + self.shared(x_BSD)
        return out_BSD, routing
