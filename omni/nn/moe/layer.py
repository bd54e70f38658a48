"""The mixture-of-experts layer: route, sort by expert, apply, combine."""

from __future__ import annotations

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from omni.nn.config import ModelConfig
from omni.nn.feed_forward import SwiGLU
from omni.nn.moe.experts import Experts
from omni.nn.moe.router import Router, Routing
from omni.nn.moe.rows import combine_rows, gather_rows, rows_of
from omni.nn.precision import product_dtype


class MoE(nn.Module):
    """Dropless mixture of experts; the output of a position does not depend on the others in the batch.

    Unless experts choose (``moe.choice``): then it does.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        moe = config.moe
        self.router = Router(config.width, moe)
        self.experts = Experts(moe.experts, config.width, moe.expert_width)
        self.shared = SwiGLU(config.width, moe.shared_width) if moe.shared_width else None

    def forward(
        self, x_BSD: Float[Tensor, "B S D"], modality_BS: UInt8[Tensor, "B S"]
    ) -> tuple[Float[Tensor, "B S D"], Routing]:
        """The mixed output, and the routing for losses and telemetry."""
        x_ND = x_BSD.flatten(0, 1)
        routing = self.router(x_ND, modality_BS.flatten())
        rows = routing.rows
        if rows is None:
            rows = rows_of(routing.experts_NT, routing.gates_NT, self.router.config.experts)
        x_RD = gather_rows(x_ND.to(product_dtype(x_ND)), rows)
        out_ND = combine_rows(self.experts(x_RD, rows.counts_E), rows)
        out_BSD = out_ND.view_as(x_BSD)
        if self.shared is not None:
            out_BSD = out_BSD + self.shared(x_BSD)
        return out_BSD, routing
