"""The model as generation runs it: the same mathematics as ``OmniTransformer.forward`` in a third of the operations.

With one position a sequence there is little arithmetic: the time goes into reading weights and starting operations.
So matrices are packed (``matrix.py``), queries and keys are normalised and turned together, angles are looked up,
routers find nothing but experts and gates, and positions of text alone skip the other modalities' projections. Tests
compare it with the model.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from omni.inference.cache import GRAIN
from omni.inference.experts import FewRows
from omni.inference.matrix import Product, linear_product
from omni.modality import AUDIO, IMAGE, TEXT
from omni.model import OmniTransformer
from omni.nn.block import Block
from omni.nn.document_attention import AttentionContext
from omni.sequence import OmniBatch, grid_places

Turn = tuple[Float[Tensor, "N 1 C"], Float[Tensor, "N 1 C"]]
"""Cosines, and sines with the sign of the half that they are added to."""


@dataclass(frozen=True, eq=False)
class Layer:
    """What a layer's arithmetic needs."""

    block: Block
    qkv: Product
    out: Product
    gain: Float[Tensor, "heads C"]
    """Of queries and keys."""
    experts: FewRows | None
    """None in a dense layer."""


class Reader:
    """Reads flat rows of positions without gradients. Made anew when the weights have changed."""

    def __init__(self, model: OmniTransformer, packs: bool = True, fixed: bool = False) -> None:
        """
        Args:
            model: with the weights.
            packs: use packed copies of matrices where they are faster.
            fixed: apply experts to all positions, so that no position changes the bits of another.
        """
        self.model, self.fixed = model, fixed
        half = model.config.head_channels // 2
        device = next(model.parameters()).device
        self.pair = torch.arange(half, device=device)
        self.axis = self.pair % 3
        self.cos = self.sin = torch.empty(0, half, device=device)
        """Of each channel pair, by coordinate."""
        self.layers = [self._layer(block, packs) for block in model.blocks]

    @staticmethod
    def _layer(block: nn.Module, packs: bool) -> Layer:
        assert isinstance(block, Block), type(block)
        attention, moe = block.attention, block.moe
        q, k = attention.q_norm.weight, attention.k_norm.weight
        return Layer(
            block=block,
            qkv=linear_product(attention.qkv, packs),
            out=linear_product(attention.out, packs),
            gain=torch.cat([q.expand(attention.heads, -1), k.expand(attention.kv_heads, -1)]),
            experts=None if moe is None else FewRows(moe.experts, packs),
        )

    def __call__(self, batch: OmniBatch, context: AttentionContext, last: int) -> Float[Tensor, "N D"]:
        """Hidden states of a batch of one row, whose largest coordinate is ``last`` at most."""
        with torch.autocast(self.axis.device.type, enabled=False):  # once, not in every router
            x_ND = self._embed(batch)[0]
            turn = self._turn(batch.coords[0], last, x_ND.dtype)
            for number, layer in enumerate(self.layers):
                x_ND = x_ND + self._attention(layer, number, x_ND, turn, context)
                x_ND = x_ND + self._mixed(layer, x_ND, batch.modality[0])
            hidden_1ND: Tensor = self.model.norm(x_ND[None])
        return hidden_1ND[0]

    def _embed(self, batch: OmniBatch) -> Float[Tensor, "1 N D"]:
        embed = self.model.embed
        is_text_BS = batch.of(TEXT)
        if not (len(batch.patches) or len(batch.codes)):
            text_BSD: Tensor = embed.text(batch.text_ids) * is_text_BS.unsqueeze(-1)
            return text_BSD
        is_image_BS = batch.of(IMAGE)
        places_I2 = grid_places(batch.coords)[is_image_BS]
        mixed_BSD: Tensor = embed(
            batch.text_ids, is_text_BS, is_image_BS, batch.of(AUDIO), batch.patches, places_I2, batch.codes
        )
        if self.model.encoders is not None:
            mixed_BSD = self.model.encoders(mixed_BSD, batch)
        return mixed_BSD

    def _turn(self, coords_N3: Tensor, last: int, dtype: torch.dtype) -> Turn:
        if last >= len(self.cos):
            count = max(2 * len(self.cos), last + GRAIN)
            coords = torch.arange(count, device=self.axis.device)[:, None].expand(-1, 3)
            cos, sin = self.model.rotary(coords[None])
            self.cos, self.sin = cos[0].to(dtype), sin[0].to(dtype)
        place_Nh = coords_N3[:, self.axis]
        cos, sin = self.cos[place_Nh, self.pair], self.sin[place_Nh, self.pair]
        return torch.cat([cos, cos], -1)[:, None], torch.cat([-sin, sin], -1)[:, None]

    def _attention(
        self, layer: Layer, number: int, x_ND: Tensor, turn: Turn, context: AttentionContext
    ) -> Float[Tensor, "N D"]:
        attention = layer.block.attention
        channels, heads, kv_heads = attention.channels, attention.heads, attention.kv_heads
        qkv = layer.qkv(_normed(x_ND, layer.block.attention_norm))
        qkv_NAC = qkv.view(-1, heads + 2 * kv_heads, channels)
        qk_NAC = F.rms_norm(qkv_NAC[:, : heads + kv_heads], (channels,)) * layer.gain
        turned = torch.addcmul(qk_NAC * turn[0], qk_NAC.roll(channels // 2, -1), turn[1])
        q, k, v = turned[:, :heads], turned[:, heads:], qkv_NAC[:, heads + kv_heads :]
        return layer.out(context(q[None], k[None], v[None], number).view(x_ND.shape))

    def _mixed(self, layer: Layer, x_ND: Tensor, modality_N: Tensor) -> Float[Tensor, "N D"]:
        """What the feed-forward part adds to the stream."""
        moe, dense = layer.block.moe, layer.block.dense
        normed_ND = _normed(x_ND, layer.block.feed_forward_norm)
        if moe is None or layer.experts is None:
            assert dense is not None
            dense_ND: Tensor = dense(normed_ND)
            return dense_ND
        mix = layer.experts.apply_to_all if self.fixed else layer.experts.sort
        mixed_ND = mix(normed_ND, *moe.router.choose(normed_ND, modality_N))
        return mixed_ND if moe.shared is None else mixed_ND + moe.shared(normed_ND)


def _normed(x_ND: Tensor, norm: nn.RMSNorm) -> Tensor:
    return F.rms_norm(x_ND, norm.normalized_shape, norm.weight)
