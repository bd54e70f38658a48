"""The model as generation runs it: the same mathematics as ``OmniTransformer.forward`` in a third of the operations.

With one position a sequence there is little arithmetic, and the time goes into starting operations. So queries and
keys are normalised and turned together, angles are looked up, and positions of text alone skip the other
modalities' projections. Router and experts are the model's own. Tests compare it with the model.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from omni.inference.cache import GRAIN
from omni.modality import AUDIO, IMAGE, TEXT
from omni.model import OmniTransformer
from omni.nn.block import Block
from omni.nn.document_attention import AttentionContext
from omni.sequence import OmniBatch, grid_places

Turn = tuple[Float[Tensor, "N 1 C"], Float[Tensor, "N 1 C"]]
"""Cosines, and sines with the sign of the half that they are added to."""


class Reader:
    """Reads flat rows of positions without gradients. Made anew when the weights have changed."""

    def __init__(self, model: OmniTransformer) -> None:
        self.model = model
        half = model.config.head_channels // 2
        device = next(model.parameters()).device
        self.pair = torch.arange(half, device=device)
        self.axis = self.pair % 3
        self.cos = self.sin = torch.empty(0, half, device=device)
        """Of each channel pair, by coordinate."""
        self.gains = [self._gain(block) for block in model.blocks]
        """Of queries and keys, (A + G, C) of each layer."""

    @staticmethod
    def _gain(block: nn.Module) -> Tensor:
        assert isinstance(block, Block), type(block)
        attention = block.attention
        q, k = attention.q_norm.weight, attention.k_norm.weight
        return torch.cat([q.expand(attention.heads, -1), k.expand(attention.kv_heads, -1)])

    def __call__(self, batch: OmniBatch, context: AttentionContext, last: int) -> Float[Tensor, "N D"]:
        """Hidden states of a batch of one row, whose largest coordinate is ``last`` at most."""
        x_ND = self._embed(batch)[0]
        turn = self._turn(batch.coords[0], last, x_ND.dtype)
        for layer, block in enumerate(self.model.blocks):
            assert isinstance(block, Block), type(block)
            x_ND = x_ND + self._attention(block, layer, x_ND, turn, context)
            normed_ND = block.feed_forward_norm(x_ND)
            if block.moe is None:
                assert block.dense is not None
                x_ND = x_ND + block.dense(normed_ND)
            else:
                x_ND = x_ND + block.moe(normed_ND[None], batch.modality)[0][0]
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
        self, block: Block, layer: int, x_ND: Tensor, turn: Turn, context: AttentionContext
    ) -> Float[Tensor, "N D"]:
        attention = block.attention
        channels, heads, kv_heads = attention.channels, attention.heads, attention.kv_heads
        qkv: Tensor = attention.qkv(block.attention_norm(x_ND))
        qkv_NAC = qkv.view(len(x_ND), heads + 2 * kv_heads, channels)
        qk_NAC = F.rms_norm(qkv_NAC[:, : heads + kv_heads], (channels,)) * self.gains[layer]
        turned = torch.addcmul(qk_NAC * turn[0], qk_NAC.roll(channels // 2, -1), turn[1])
        q, k, v = turned[:, :heads], turned[:, heads:], qkv_NAC[:, heads + kv_heads :]
        out: Tensor = attention.out(context(q[None], k[None], v[None], layer).view(len(x_ND), -1))
        return out
