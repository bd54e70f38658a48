"""The model: one decoder-only mixture-of-experts transformer for text, images and audio.

What is unusual about it:
* one position holds a text token, an image patch or an audio frame, and they share everything but one input
  projection and one output head each;
* queries and keys are normalised; positions rotate on three axes; experts balance by a bias;
* documents packed into a row never see each other, at no cost for masks;
* images leave through a flow-matching head, audio through a depth head;
* for comparison, what is read can pass an encoder first (``config.encoders``), and heads can be left out.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from omni.modality import AUDIO, IMAGE, TEXT
from omni.nn.block import Block
from omni.nn.config import ModelConfig, Vocabulary
from omni.nn.document_attention import AttentionContext, PackedAttention
from omni.nn.embed import Embed
from omni.nn.encoders.encoders import Encoders
from omni.nn.heads.audio import AudioHead
from omni.nn.heads.image import ImageHead
from omni.nn.heads.parallel_audio import ParallelAudioHead
from omni.nn.heads.silent import SilentAudioHead, SilentImageHead
from omni.nn.heads.text import TextHead
from omni.nn.init import initialise
from omni.nn.moe.experts import Experts
from omni.nn.moe.router import Router, Routing
from omni.nn.recompute import run_block
from omni.nn.rotary import Rotary
from omni.sequence import OmniBatch, grid_places


@dataclass(frozen=True, eq=False)
class Hidden:
    """What the backbone gives the heads."""

    x_BSD: Float[Tensor, "B S D"]
    """Normalised hidden state of each position."""
    routing: tuple[Routing, ...]
    """The router's choices, layer by layer; dense layers are left out."""


class OmniTransformer(nn.Module):
    """Embed, blocks, heads."""

    def __init__(self, config: ModelConfig, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.config, self.vocabulary = config, vocabulary
        self.embed = Embed(config.width, vocabulary, gaps=config.audio.layout != "frame")
        self.rotary = Rotary(config.head_channels, config.rope)
        self.blocks = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = nn.RMSNorm(config.width)
        self.text_head = TextHead(config.width, vocabulary.text, config.text, self.embed.text)
        self.image_head = ImageHead(config, vocabulary) if config.image.generate else SilentImageHead()
        self.audio_head = audio_head_of(config, vocabulary)
        self.encoders = Encoders(config, vocabulary) if config.encoders.any else None

    def forward(self, batch: OmniBatch, context: AttentionContext | None = None) -> Hidden:
        """Hidden states of the batch. ``context`` is packed attention by default; a cache in generation."""
        is_image_BS = batch.of(IMAGE)
        x_BSD = self.embed(
            batch.text_ids,
            batch.of(TEXT),
            is_image_BS,
            batch.of(AUDIO),
            batch.patches,
            grid_places(batch.coords)[is_image_BS],
            batch.codes,
        )
        if self.encoders is not None:
            x_BSD = self.encoders(x_BSD, batch)
        if context is None:
            context = PackedAttention(batch.lengths, x_BSD.device)
        rotation = self.rotary(batch.coords)
        routings = []
        for layer, block in enumerate(self.blocks):
            x_BSD, routing = run_block(
                block, layer, self.config.recompute, x_BSD, rotation, context, batch.modality
            )
            if routing is not None:
                routings.append(routing)
        return Hidden(self.norm(x_BSD), tuple(routings))

    def initialise(self, seed: int) -> None:
        """Draw all weights as ``config.init`` says."""
        initialise(self, self.config, seed)

    def routers(self) -> list[Router]:
        """The routers, first layer first."""
        return [module for module in self.modules() if isinstance(module, Router)]

    def parameter_counts(self) -> dict[str, int]:
        """``total`` parameters, and those ``active`` for one position of any one modality's backbone."""
        total = sum(p.numel() for p in self.parameters())
        experts = sum(p.numel() for m in self.modules() if isinstance(m, Experts) for p in m.parameters())
        share = self.config.moe.top_k / self.config.moe.experts
        return {"total": total, "active": round(total - experts * (1 - share))}


def audio_head_of(config: ModelConfig, vocabulary: Vocabulary) -> AudioHead:
    """The head that the config's audio layout asks for, or none."""
    if not config.audio.generate:
        return SilentAudioHead(vocabulary)
    return (AudioHead if config.audio.layout == "frame" else ParallelAudioHead)(config, vocabulary)
